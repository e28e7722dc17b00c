"""`queues` through the real door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.command_line import CommandLine
from tests.support.world import SAMPLE, World

NOWHERE = "mongodb://127.0.0.1:1/crm"


def row(engine: CommandLine, lane: str) -> list[str]:
    listed = engine("queues", "list")
    assert listed.returncode == 0, listed.stderr
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith(f"│ {lane} ")]
    return [cell.strip() for cell in line.strip("│").split("│")[1:]]


@pytest.mark.covers("CL-10", "DA-27")
def test_the_table_counts_what_waits_what_ran_and_says_what_is_paused(engine: CommandLine, world: World) -> None:
    world.submit(SAMPLE)
    assert engine("run-once", "deals.import").returncode == 0
    old = datetime.now(UTC) - timedelta(minutes=1)
    failure = {"lane": "deals.import", "outcome": "dead", "at": old}
    world.db["job_history"].insert_many([{**failure, "job_id": f"job {n}"} for n in range(3)])

    assert row(engine, "deals.import") == ["0", "0", "0", "1", "3", ""]
    assert row(engine, "funnels_clone") == ["0", "0", "0", "0", "0", ""]

    assert engine("queues", "pause", "deals.import").stdout == "deals.import is paused\n"
    assert row(engine, "deals.import")[-1] == "paused"
    assert paused(world) == ["deals.import"]
    assert engine("queues", "resume", "deals.import").stdout == "deals.import goes on\n"
    assert row(engine, "deals.import")[-1] == ""
    assert paused(world) == []


def paused(world: World) -> list[str]:
    """The lanes that MongoDB says are paused."""
    (record,) = world.db["engine_keys"].find({"_id": "paused_lanes"})
    return list(record["lanes"])


def test_without_mongodb_a_lane_is_paused_in_redis_alone_and_never_resumed(engine: CommandLine) -> None:
    ran = engine("queues", "pause", "deals.import", MONGO_URL=NOWHERE)

    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("deals.import is paused in Redis alone, until Redis loses its data, so pause it again once ")
    assert ": MongoDB at MONGO_URL does not answer within 5 s: " in line

    refused = engine("queues", "resume", "deals.import", MONGO_URL=NOWHERE)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("MongoDB at MONGO_URL does not answer within 5 s: ")
    assert row(engine, "deals.import")[-1] == "paused"


def test_without_both_servers_a_lane_is_not_paused(engine: CommandLine) -> None:
    ran = engine("queues", "pause", "deals.import", MONGO_URL=NOWHERE, REDIS_URL="redis://127.0.0.1:1/0")

    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith("Redis at REDIS_URL does not answer within 5 s: ")


def test_queues_alone_lists(engine: CommandLine) -> None:
    assert "deals.import.rows" in engine("queues").stdout


def test_clean_removes_what_is_of_that_state_in_that_lane_and_older(engine: CommandLine, world: World) -> None:
    now = datetime.now(UTC)
    history = world.db["job_history"]
    history.insert_many(
        {"_id": f"{lane} {outcome} {hours}", "lane": lane, "outcome": outcome, "at": now - timedelta(hours=hours)}
        for lane in ("deals.import", "events.outbox")
        for outcome in ("done", "retried", "dead")
        for hours in (1, 30)
    )

    def gone(*words: str) -> set[str]:
        before = set(history.distinct("_id"))
        assert engine("queues", "clean", *words).returncode == 0
        return before - set(history.distinct("_id"))

    assert gone("deals.import", "--state", "completed") == {"deals.import done 30"}
    assert gone("deals.import", "--state", "failed", "--older-than", "2d") == set()
    assert gone("deals.import", "--state", "failed", "--older-than", "29h") == {
        "deals.import retried 30",
        "deals.import dead 30",
    }
    assert gone("events.outbox", "--state", "completed", "--older-than", "30m") == {
        "events.outbox done 1",
        "events.outbox done 30",
    }


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["pause", "deals.exports"], "no such lane: 'deals.exports'; there are deals.import, "),
        (["resume", "deals.exports"], "no such lane: 'deals.exports'; there are deals.import, "),
        (["clean", "deals.exports", "--state", "failed"], "no such lane: 'deals.exports'; there are deals.import, "),
        (["clean", "events.outbox", "--state", "failed", "--older-than", "1 week"], "--older-than: given '1 week': "),
        (["clean", "events.outbox"], "--state"),
        (["clean", "events.outbox", "--state", "waiting"], "'completed', 'failed'"),
    ],
)
def test_what_makes_no_sense_is_named(engine: CommandLine, words: list[str], reason: str) -> None:
    # No server is asked for that.
    ran = engine("queues", *words, MONGO_URL="mongodb://127.0.0.1:1", REDIS_URL="redis://127.0.0.1:1")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert reason in ran.stderr
