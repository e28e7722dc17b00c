"""What a process keeps of the quarantine: it is read again when it changes, and after a second."""

from __future__ import annotations

import pytest

from pipeline_engine.repos import aside
from pipeline_engine.repos.aside import Aside


def test_ids_are_kept_until_the_quarantine_changes() -> None:
    kept = Aside()
    assert kept.ids("funnels") is None

    kept.keep("funnels", [1], kept.changes)
    assert (kept.ids("funnels"), kept.ids("queues")) == ([1], None)

    kept.forget()
    assert kept.ids("funnels") is None


def test_what_was_asked_for_before_a_change_is_not_kept() -> None:
    kept = Aside()
    asked_at = kept.changes
    kept.forget()

    kept.keep("funnels", [], asked_at)

    assert kept.ids("funnels") is None


def test_ids_are_read_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, now = Aside(), [100.0]
    monkeypatch.setattr(aside, "monotonic", lambda: now[0])
    kept.keep("funnels", [1], kept.changes)

    now[0] += 0.9
    assert kept.ids("funnels") == [1]
    now[0] += 0.2
    assert kept.ids("funnels") is None
