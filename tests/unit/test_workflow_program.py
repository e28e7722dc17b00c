"""Workflows as they are written: steps with their jumps, re-entry, and where a migration goes. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.workflows.migration import target_of
from pipeline_engine.domain.workflows.program import MAX_STEPS, read_program, step_at
from pipeline_engine.domain.workflows.workflow import enrollment, new_id, read_workflow
from pipeline_engine.errors import Permanent

X = {"field": "data.x", "op": "exists"}
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def tag(name: str) -> dict[str, Any]:
    return {"type": "add_tag", "config": {"tag": name}}


def branch(then: list[Any], otherwise: list[Any]) -> dict[str, Any]:
    return {"type": "branch", "config": {"if": X, "then": then, "else": otherwise}}


steps = st.recursive(
    st.lists(st.sampled_from("abc").map(tag), max_size=3),
    lambda part: st.lists(st.one_of(st.sampled_from("abc").map(tag), st.builds(branch, part, part)), max_size=3),
    max_leaves=8,
)


def walk(raw: list[Any], takes_then: Any) -> list[str]:
    """The tags in the order in which an interpreter of the nested steps adds them."""
    done: list[str] = []
    for one in raw:
        if one["type"] == "branch":
            done += walk(one["config"]["then" if takes_then() else "else"], takes_then)
        else:
            done.append(one["config"]["tag"])
    return done


@given(raw=steps, choices=st.lists(st.booleans(), min_size=40, max_size=40))
def test_jumps_go_where_the_nested_steps_go(raw: list[Any], choices: list[bool]) -> None:
    program, number, done, chosen = read_program(raw), 0, [], iter(choices)
    while number < len(program):
        step = program[number]
        if step.type == "branch":
            number = step.then if next(chosen) else step.otherwise
        else:
            done.append(step.config.tag)
            assert step.then == step.otherwise > number
            number = step.then
    again = iter(choices)
    assert done == walk(raw, lambda: next(again))


@given(raw=steps)
def test_every_step_has_a_number_a_path_and_a_key_of_its_own(raw: list[Any]) -> None:
    program = read_program(raw)
    assert [step.number for step in program] == list(range(len(program)))
    assert len({step.path for step in program}) == len({step.key for step in program}) == len(program)


def test_a_key_depends_on_what_a_step_does_and_not_on_its_place() -> None:
    id = ObjectId()
    first = read_program([tag("a"), {"type": "add_tag", "config": {"tag": str(id)}}])
    second = read_program([{"type": "add_tag", "config": {"tag": id}}, tag("b"), tag("a")])
    assert (first[0].key, first[1].key) == (second[2].key, second[0].key)


def test_too_many_and_too_deep() -> None:
    deep: list[Any] = [tag("a")]
    for _ in range(12):
        deep = [branch(deep, [])]
    for raw in ([tag("a")] * (MAX_STEPS + 1), deep):
        with pytest.raises(Permanent, match=r"more than 200|nested deeper"):
            read_program(raw)


@pytest.mark.parametrize("step", ["1", -1, 0.5, True, [0]])
def test_a_step_that_is_no_number_is_refused(step: object) -> None:
    with pytest.raises(Permanent, match="whole number"):
        step_at(read_program([tag("a")]), {"step": step})


def read(**fields: Any) -> Any:
    return read_workflow({"_id": 1, "trigger": {"type": "contact.created"}, "steps": [], **fields})


@pytest.mark.parametrize("reentry", ["always", 5, {}, {"cooldown_seconds": 0}, {"cooldown_seconds": True}, ["never"]])
def test_a_reentry_that_is_none_is_refused(reentry: object) -> None:
    with pytest.raises(Permanent, match="reentry"):
        read(reentry=reentry)


def earlier(minutes: float, status: str = "completed") -> dict[str, Any]:
    return {"event_id": "e0", "status": status, "triggered_at": NOON - timedelta(minutes=minutes)}


@pytest.mark.parametrize(
    ("reentry", "before", "enrols"),
    [
        ("never", [], True),
        ("never", [earlier(99)], False),
        ("per_event", [earlier(0, "active")], True),
        ({"cooldown_seconds": 3600}, [earlier(59)], False),
        ({"cooldown_seconds": 3600}, [earlier(60)], True),
        ({"cooldown_seconds": 3600}, [earlier(99, "active")], False),
        ({"cooldown_seconds": 3600}, [earlier(99), earlier(5)], False),
    ],
)
def test_reentry(reentry: Any, before: list[dict[str, Any]], enrols: bool) -> None:
    event = {"_id": "e1", "occurred_at": NOON}
    assert (new_id(read(reentry=reentry), "c", event, before, NOON) is not None) is enrols
    assert new_id(read(reentry=reentry), "c", {**event, "_id": "e0"}, before, NOON) is None or not before


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=3650)])
def test_a_clock_that_runs_ahead_neither_lengthens_nor_shortens_a_cool_down(ahead: timedelta) -> None:
    workflow, event = read(reentry={"cooldown_seconds": 3600}), {"_id": "e1", "occurred_at": NOON + ahead}
    first = enrollment(workflow, "e", "c", event, NOON) | {"status": "completed"}
    assert (first["triggered_at"], first["since"]) == (NOON, NOON)

    later = [NOON + timedelta(minutes=minutes) for minutes in (59, 60)]
    ids = [new_id(workflow, "c", {"_id": "e2", "occurred_at": now + ahead}, [first], now) for now in later]
    assert [id is not None for id in ids] == [False, True]


@pytest.mark.parametrize(
    ("old", "at", "new", "there", "stays"),
    [
        ([tag("a"), tag("b")], 1, [tag("x"), tag("a"), tag("b")], "3", True),
        ([tag("a"), tag("b")], 1, [tag("a"), tag("c")], "2", False),
        ([tag("a"), tag("b"), tag("c")], 2, [tag("a")], None, False),
        ([branch([tag("a"), tag("b")], [])], 2, [branch([tag("a")], [tag("z")]), tag("e")], "1.else.1", False),
        ([branch([tag("a")], [])], 1, [tag("n"), tag("e")], "2", False),
    ],
)
def test_where_a_migration_goes(old: Any, at: int, new: Any, there: str | None, stays: bool) -> None:
    target, same = target_of(read_program(old)[at], read_program(new))
    assert (target.path if target else None, same) == (there, stays)
