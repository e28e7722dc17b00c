"""When the watcher wakes sweeps for a document that becomes due."""

from __future__ import annotations

import pytest

from pipeline_engine.wake_up import DEBOUNCE_SECONDS
from pipeline_engine.watcher import delays


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (-5.0, (0.0,)),
        (0.0, (0.0,)),
        (0.007, (0.007,)),
        (DEBOUNCE_SECONDS, (DEBOUNCE_SECONDS,)),
        (60.0, (0.0, 60.0)),
    ],
)
def test_a_sweep_does_not_look_just_before_a_document_is_due(wait: float, expected: tuple[float, ...]) -> None:
    assert delays(wait) == expected
