"""Where a run stands after an action, and which reply ends a wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.leads import actions
from pipeline_engine.domain.leads.actions.table import ACTIONS
from pipeline_engine.domain.leads.config import CONTINUE, READERS, Branch, ResponseConfig
from pipeline_engine.domain.leads.ending import ends_run
from pipeline_engine.domain.leads.enter import numbered
from pipeline_engine.domain.leads.moving import moves_after
from pipeline_engine.domain.leads.responses import ends_wait, first_reply
from pipeline_engine.domain.leads.schedule import Position, RunEnd, following, opened
from pipeline_engine.domain.leads.work import Closed, Entry, Moved, Performed, taken

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAGE = ObjectId()


def row(sequence: int, type: str = "note", **config: Any) -> dict[str, Any]:
    return {"sequence_number": sequence, "type": type, "config": config}


@pytest.mark.covers("LP-08")
def test_every_type_of_action_has_one_file_and_one_row() -> None:
    files = {file.stem for file in Path(actions.__path__[0]).glob("*.py")} - {"__init__", "table"}
    assert files == set(ACTIONS) == set(READERS)


@given(st.lists(st.integers(1, 50), unique=True), st.integers(0, 50))
def test_the_next_action_is_the_one_with_the_next_higher_number(numbers: list[int], at: int) -> None:
    rows = [row(n) for n in sorted(numbers)]
    found = following(rows, at)
    assert (found and found["sequence_number"]) == min((n for n in numbers if n > at), default=None)


@pytest.mark.parametrize(
    ("one", "position"),
    [
        (row(1, "note", note="x"), Position(1, "note", NOW)),
        (row(2, "wait", seconds=60), Position(2, "wait", NOW + timedelta(seconds=60))),
        (
            row(3, "wait_for_response", channel="any", timeout_seconds=5),
            Position(3, "wait_for_response", NOW + timedelta(seconds=5), "waiting_response"),
        ),
        (row(4, "wait", seconds="long"), Position(4, "wait", NOW)),  # due at once, and refused then
        (row(5, "dance"), Position(5, "dance", NOW)),
    ],
)
def test_an_action_is_opened_when_it_may_be_performed(one: dict[str, Any], position: Position) -> None:
    assert opened(one, NOW, {}, {}) == position


@pytest.mark.parametrize(
    ("type", "lane"), [("email", "email"), ("sms", "sms"), ("note", "internal"), ("move", "internal")]
)
def test_what_calls_another_server_has_a_lane_of_its_own(type: str, lane: str) -> None:
    assert Position(1, type, NOW).lane == lane


@pytest.mark.parametrize(
    ("branch", "result"),
    [
        (CONTINUE, Performed()),
        (Branch("stop"), Closed(RunEnd("completed", "why"))),
        (Branch("move", STAGE), Moved(STAGE)),
    ],
)
def test_a_branch_goes_on_stops_or_moves(branch: Branch, result: object) -> None:
    assert taken(branch, "why") == result


CONFIG = ResponseConfig("email", timedelta(minutes=1), CONTINUE, CONTINUE)


def response(channel: str = "email", after: float = 1, **fields: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "channel": channel, "received_at": NOW + timedelta(seconds=after), **fields}


@pytest.mark.parametrize(
    ("one", "ends"),
    [
        (response(), True),
        (response(after=0), True),
        (response(after=-1), False),
        (response("sms"), False),
        (response(auto=True), False),
        (response(auto=False), True),
        ({"_id": ObjectId.from_datetime(NOW + timedelta(seconds=5)), "channel": "email"}, True),
    ],
)
@pytest.mark.covers("LP-X4")
def test_a_reply_ends_the_wait_if_it_came_over_the_channel_in_time(one: dict[str, Any], ends: bool) -> None:
    assert ends_wait(one, CONFIG, NOW) is ends


def test_the_first_of_several_replies_counts() -> None:
    first, second = response(after=5), response(after=6)
    assert first_reply([second, response(after=-1), first], CONFIG, NOW) == first
    assert first_reply([response("sms")], CONFIG, NOW) is None


@pytest.mark.parametrize(
    ("rows", "moves", "after"),
    [
        ([row(1, "move")], 0, 1),
        ([row(1, "move")], 19, 20),
        ([row(1, "wait"), row(2, "move")], 19, 1),
        ([row(1, "move"), row(2, "wait")], 5, 6),  # the wait comes only behind the move
    ],
)
def test_a_wait_before_the_move_begins_the_count_of_moves_anew(
    rows: list[dict[str, Any]], moves: int, after: int
) -> None:
    sequence = next(one["sequence_number"] for one in rows if one["type"] == "move")
    entry = Entry({"_id": 1, "current_sequence": sequence, "moves": moves}, rows, {})
    assert moves_after(entry) == after


@pytest.mark.parametrize(
    ("exits", "exit", "ends"),
    [
        (None, "reply", False),
        (None, "unsubscribed", True),
        ({}, "won", True),
        ({"won": False}, "won", False),
        ({"reply": True}, "reply", True),
        ({"meeting": "no"}, "meeting", True),
        ("nonsense", "bounced", True),
        (None, "lost", True),
    ],
)
def test_a_stage_says_which_exits_end_runs(exits: object, exit: str, ends: bool) -> None:
    assert ends_run({"exits": exits}, exit) is ends


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ([10, 20, 30], [10, 20, 30]),
        ([0, 1], [0, 1]),
        ([1, 1, 1, 5], [1, 2, 3, 5]),
        ([None, "x", 2], [1, 2, 3]),
        ([float("nan"), 1e300, True], [1, 2, 3]),
        ([-3, 2.0], [-3, 2]),
    ],
)
@pytest.mark.covers("LP-02")
def test_pinned_actions_have_numbers_that_grow(given: list[object], numbers: list[int]) -> None:
    actions = [{"_id": n, "type": "note", "sequence_number": number} for n, number in enumerate(given)]
    assert [one["sequence_number"] for one in numbered(actions)] == numbers
