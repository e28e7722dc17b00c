"""Turns: a crowd gives way to accounts that are none, in short turns and not for ever."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads import turns
from pipeline_engine.domain.leads.turns import ASK_SECONDS, MOST_SECONDS, SHORT_TURN, Turns

CROWD, SMALL = ObjectId(), ObjectId()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [100.0]
    monkeypatch.setattr(turns, "monotonic", lambda: moment[0])
    return moment


def with_crowd() -> Turns:
    made = Turns()
    made.note(CROWD, "internal", has_more=True)
    return made


def test_a_crowd_waits_while_another_account_has_its_turn(now: list[float]) -> None:
    some = with_crowd()
    assert some.wait(CROWD, "internal") is None

    with some.taken(SMALL):
        assert some.wait(CROWD, "internal") == ASK_SECONDS
        assert some.wait(SMALL, "internal") is None

    assert some.wait(CROWD, "internal") is None


def test_a_crowd_has_a_short_turn_after_a_while(now: list[float]) -> None:
    some = with_crowd()
    with some.taken(SMALL):
        assert some.limit(CROWD, "internal", 500) == SHORT_TURN
        assert some.limit(SMALL, "internal", 500) == 500
        now[0] += MOST_SECONDS + 0.1
        assert some.wait(CROWD, "internal") is None
    assert some.limit(CROWD, "internal", 500) == 500


def test_crowds_do_not_wait_for_each_other(now: list[float]) -> None:
    some = with_crowd()
    some.note(SMALL, "enter", has_more=True)
    with some.taken(SMALL):
        assert some.wait(CROWD, "internal") is None


def test_an_account_is_a_crowd_until_a_turn_leaves_nothing_in_that_lane(now: list[float]) -> None:
    some = with_crowd()
    some.note(CROWD, "enter", has_more=False)
    with some.taken(SMALL):
        assert some.wait(CROWD, "internal") == ASK_SECONDS
        some.note(CROWD, "internal", has_more=False)
        assert some.wait(CROWD, "internal") is None
