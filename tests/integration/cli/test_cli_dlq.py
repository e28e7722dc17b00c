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

    ran = engine("dlq", "retry", "--all", "--no-canary")

    assert (ran.returncode, ran.stdout) == (0, "3 back in their lanes\n")
    assert statuses(world) == {settled: "discarded"} | dict.fromkeys(letters, "retried")
    assert waiting(engine, "deals.import") == "3"


@pytest.mark.covers("CL-09")
def test_letters_are_listed_and_retried_by_what_they_are(engine: CommandLine, world: World) -> None:
    account = ObjectId()
    import_id = world.db["queues"].insert_one({"account_id": account, "status": "completed"}).inserted_id
    mine = save_dead_letter(world, args=[str(import_id)])
    other = save_dead_letter(world, lane="crm-events", function="event.consume", args=[str(account)])
    event = save_dead_letter(world, lane="crm-events", function="event.retry", job_id="e1", args=["e1"])
    world.db["crm_events"].insert_one({"_id": "e1", "type": "deal.won", "account_id": ObjectId(), "status": "dead"})
    late = save_dead_letter(world, hours=30, error="TimeoutError: ran longer than 300 s")
    filters: dict[tuple[str, ...], set[ObjectId]] = {
        ("--lane", "crm-events"): {other, event},
        ("--type", "import.plan"): {mine, late},
        ("--type", "deal.won"): {event},
        ("--type", "deal.lost"): set(),
        ("--account", str(account)): {mine, other},
        ("--account", str(account), "--lane", "deals.import"): {mine},
        ("--error", "LONGER than"): {late},
        ("--error", ".*"): set(),
        ("--older-than", "1d"): {late},
    }

    for words, expected in filters.items():
        listed = engine("dlq", "list", *words).stdout
        assert {id for id in (mine, other, event, late) if str(id) in listed} == expected, words
    counted = engine("dlq", "retry", "--account", str(account), "--dry-run")
    assert counted.stdout == "2 dead letters would go back into their lanes\n"
    assert set(statuses(world).values()) == {"dead"}

    ran = engine("dlq", "retry", "--error", "longer", "--no-canary")

    assert (ran.returncode, ran.stdout) == (0, "1 back in their lanes\n")
    assert statuses(world) == {mine: "dead", other: "dead", event: "dead", late: "retried"}


@pytest.mark.covers("CL-09")
def test_the_canary_goes_alone_where_no_daemon_runs_it(engine: CommandLine, world: World) -> None:
    letters = [save_dead_letter(world, hours=hours) for hours in (3, 2, 1)]

    ran = engine("dlq", "retry", "--all", "--wait", "1")

    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (1, "1 back in their lanes")
    assert ran.stderr == ("stopped: 0 of 1 had ended after 1 s: does a daemon run this lane?; 2 stay dead letters\n")
    assert statuses(world) == dict(zip(letters, ("retried", "dead", "dead"), strict=True))


def test_one_letter_is_retried_with_other_arguments(engine: CommandLine, world: World) -> None:
    letter, event = save_dead_letter(world), save_dead_letter(world, lane="crm-events", function="event.retry")
    world.db["dead_letters"].update_one({"_id": event}, {"$set": {"job_id": "e1", "args": ["e1"]}})
    world.db["crm_events"].insert_one({"_id": "e1", "status": "dead", "account_id": ObjectId(), "data": {"a": 1}})

    for id, data in ((letter, "7"), (letter, '{"b": 2}')):
        ran = engine("dlq", "retry", id, "--data", data)
        assert (ran.returncode, "a list of arguments is wanted" in ran.stderr) == (1, True)
    assert engine("dlq", "retry", letter, "--data", '["other"]').returncode == 0
    assert engine("dlq", "retry", event, "--data", '{"b": 2}').returncode == 0

    stored = {one["_id"]: one.get("retried_with") for one in world.db["dead_letters"].find()}
    assert stored == {letter: ["other"], event: {"b": 2}}
    changed = world.db["crm_events"].find_one({"_id": "e1"}) or {}
    assert (changed["data"], changed["data_before"], changed["status"]) == ({"b": 2}, {"a": 1}, "dead")
    assert set(statuses(world).values()) == {"retried"}
    assert waiting(engine, "deals.import") == "1"


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
        (["retry"], "give either ids or --all or filters"),
        (["retry", "a" * 24, "--lane", "x"], "give either ids or --all or filters"),
        (["retry", "--all", "--data", "[]"], "--data goes with one id"),
        (["retry", "a" * 24, "--data", "{"], "--data: not JSON"),
        (["retry", "--older-than", "5"], "--older-than: given '5'"),
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
