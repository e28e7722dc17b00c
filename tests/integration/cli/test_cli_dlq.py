"""`dlq` through the real door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.world import World

NOW = datetime.now(UTC)


def save_dead_letter(world: World, hours: float = 1, **changes: object) -> ObjectId:
    letter = {
        "lane": "deals.import",
        "job_id": f"job {ObjectId()}",
        "function": "import.plan",
        "args": [str(ObjectId())],
        "kwargs": {},
        "error": "ValueError: no such thing",
        "traceback": "Traceback:\n  File x\nValueError: no such thing",
        "attempts": 3,
        "first_failed_at": NOW - timedelta(hours=hours, seconds=8),
        "last_failed_at": NOW - timedelta(hours=hours),
        "errors": [{"attempt": 1, "at": NOW, "error": "first time"}],
        "status": "dead",
    } | changes
    return ObjectId(world.db["dead_letters"].insert_one(letter).inserted_id)


def statuses(world: World) -> dict[ObjectId, str]:
    return {letter["_id"]: letter["status"] for letter in world.db["dead_letters"].find()}


def waiting(engine: CommandLine, lane: str) -> str:
    (line,) = [line for line in engine("queues").stdout.splitlines() if line.startswith(f"│ {lane} ")]
    return line.split("│")[2].strip()


@pytest.mark.covers("CL-09")
def test_letters_are_listed_newest_first_and_shown_whole(engine: CommandLine, world: World) -> None:
    assert engine("dlq").stdout == "no dead letters\n"
    old, new, done = (
        save_dead_letter(world, hours=5),
        save_dead_letter(world, hours=1),
        save_dead_letter(world, status="discarded"),
    )

    listed = engine("dlq", "list").stdout
    assert listed.index(str(new)) < listed.index(str(old))
    assert str(done) not in listed
    assert "ValueError: no such thing" in listed
    assert str(old) not in engine("dlq", "list", "--limit", "1").stdout

    shown = engine("dlq", "show", old).stdout
    for part in ("import.plan", "deals.import", "attempt 1: first time", "  File x"):
        assert part in shown


@pytest.mark.covers("CL-09")
def test_a_letter_that_is_retried_is_back_in_its_lane_once(engine: CommandLine, world: World) -> None:
    first, second = save_dead_letter(world), save_dead_letter(world)

    ran = engine("dlq", "retry", first, second)

    assert (ran.returncode, ran.stdout) == (0, f"{first} back in its lane\n{second} back in its lane\n")
    assert set(statuses(world).values()) == {"retried"}
    assert waiting(engine, "deals.import") == "2"

    again = engine("dlq", "retry", first)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"the dead letter {first} was retried already\n"
    assert waiting(engine, "deals.import") == "2"


@pytest.mark.covers("CL-09")
def test_all_are_retried_but_those_that_were_settled(engine: CommandLine, world: World) -> None:
    letters = {save_dead_letter(world) for _ in range(3)}
    settled = save_dead_letter(world, status="discarded")

    ran = engine("dlq", "retry", "--all")

    assert (ran.returncode, len(ran.stdout.splitlines())) == (0, 3)
    assert statuses(world) == {settled: "discarded"} | dict.fromkeys(letters, "retried")
    assert waiting(engine, "deals.import") == "3"


def test_one_that_cannot_be_helped_keeps_none_of_the_others(engine: CommandLine, world: World) -> None:
    unclaimed, letter = ObjectId(), save_dead_letter(world)

    ran = engine("dlq", "discard", unclaimed, letter)

    assert (ran.returncode, ran.stdout) == (1, f"{letter} discarded\n")
    assert ran.stderr == f"there is no dead letter {unclaimed}\n"
    assert statuses(world) == {letter: "discarded"}
    assert waiting(engine, "deals.import") == "0"


def test_secrets_and_control_characters_do_not_reach_the_terminal(engine: CommandLine, world: World) -> None:
    letter = save_dead_letter(
        world, error="ConnectionError: smtp://bob:hunter2@mail \x1b[2J", traceback="at smtp://bob:hunter2@mail"
    )

    for ran in (engine("dlq", "list"), engine("dlq", "show", letter)):
        assert "ConnectionError" in ran.stdout
        assert "hunter2" not in ran.stdout
        assert "\x1b" not in ran.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["retry"], "give either ids or --all"),
        (["retry", "a" * 24, "--all"], "give either ids or --all"),
        (["retry", "no-id"], "ID: given 'no-id': an id has 24 hex digits"),
        (["show", "no-id"], "ID: given 'no-id': an id has 24 hex digits"),
        (["discard"], "ID"),
    ],
)
def test_what_makes_no_sense_is_named(engine: CommandLine, words: list[str], reason: str) -> None:
    ran = engine("dlq", *words, MONGO_URL="mongodb://127.0.0.1:1", REDIS_URL="redis://127.0.0.1:1")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert reason in ran.stderr


def test_a_letter_that_does_not_exist_cannot_be_shown(engine: CommandLine) -> None:
    unclaimed = ObjectId()

    ran = engine("dlq", "show", unclaimed)

    assert (ran.returncode, ran.stderr) == (1, f"there is no dead letter {unclaimed}\n")
