"""What an operator looks at first, through the real door; the many cases stand in tests/integration/cli."""

from __future__ import annotations

import pytest

from tests.support.command_line import Subprocess


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("doctor", "change streams"),
        ("indexes", "pipeline_stages"),
        ("queues", "deals.import.rows"),
        ("dlq", "no dead letters"),
    ],
)
def test_it_shows_that_all_is_well(engine: Subprocess, words: str, shown: str) -> None:
    ran = engine(*words.split())

    assert ran.returncode == 0, ran.stderr
    assert shown in ran.stdout


def test_an_unknown_command_is_a_usage_error(engine: Subprocess) -> None:
    ran = engine("fly")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "fly" in ran.stderr
