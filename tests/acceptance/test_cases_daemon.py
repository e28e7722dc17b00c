"""The situations of tests/cases in which a daemon dies, or is flooded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from email import message_from_string
from typing import Any

import pytest

from pipeline_engine.embedded.sink import Sink
from tests.acceptance.conftest import Start
from tests.support.automations import ago, automation_of
from tests.support.cases import oid, plant, read
from tests.support.eventually import eventually
from tests.support.world import World

AUTOMATION = oid("e")
PLACES = 20  # two groups of ten have their records written at a time


@pytest.fixture
async def sink(servers: dict[str, str]) -> AsyncIterator[Sink]:
    sink = Sink(servers["SMTP_SINK_URL"])
    await sink.clear()
    yield sink
    await sink.clear()


def done(world: World) -> int:
    return world.db["deals"].count_documents({"automation_triggered": AUTOMATION})


async def sent(sink: Sink) -> Counter[str]:
    return Counter(to for one in await sink.records() for to in one["recipients"])


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
async def test_26_killed_in_the_middle_of_a_batch(world: World, start: Start, sink: Sink, end: str) -> None:
    plant("26-killed-mid-batch", world.db)
    first = await start()
    await sink.wait_for(5, 30)
    if end == "SIGTERM":
        assert await first.terminate() < 25
        assert first.exit_code == 0
    else:
        first.kill()
    second = await start()

    await eventually(lambda: done(world) == 50, "all deals are done", 60, second)
    await eventually(lambda: not automation_of(world, AUTOMATION)["is_running"], "the run has ended", 20, second)

    by_recipient = await sent(sink)
    assert len(by_recipient) == 50
    doubles = [to for to, count in by_recipient.items() if count > 1]
    assert len(doubles) <= (PLACES if end == "SIGKILL" else 0)
    ids: dict[str, set[str]] = {}
    for one in await sink.records():
        ids.setdefault(one["recipients"][0], set()).add(str(message_from_string(one["message"])["Message-ID"]))
    assert all(len(one) == 1 for one in ids.values())
    ambiguous = {str(one["_id"]).split(":")[1] for one in world.db["effects"].find({"ambiguous": True})}
    doubled = {str(one["_id"]) for one in world.db["deals"].find({"contact_email": {"$in": doubles}})}
    assert doubled <= ambiguous
    entries = [entry["deal"] for log in world.db["automation_logs"].find() for entry in log["success"]]
    assert len(entries) == len(set(entries)) == 50


async def test_27_a_burst_of_one_account_does_not_hold_up_its_neighbour(world: World, start: Start, sink: Sink) -> None:
    """With 600 rows in place of 10,000: the neighbour enters in the middle either way."""
    plant("27-burst-and-neighbour", world.db)
    rows = "".join(f"Burst {n},Inbox,burst{n}@post.example\n" for n in range(1, 601))
    daemon = await start()
    settled: dict[str, Any] = {
        "account_id": oid("a"),
        "user_id": oid("b"),
        "additional_data": {"pipeline_id": oid("1a")},
    }
    world.submit("Deal Name,Stage,Contact Email\n" + rows, read("27-burst-and-neighbour")["mappings"], **settled)
    await sink.wait_for(20, 60)

    entered = time.monotonic()
    move = {"stage_id": oid("c", 0xB), "automation_starts": ago(seconds=0)}
    world.db["deals"].update_one({"_id": oid("f", 1)}, {"$set": move})
    await sink.wait_for(1, 30, recipients=["only@post.example"])
    waited = time.monotonic() - entered

    await eventually(lambda: done_by_all(world) == [600] * 3, "all deals have tag, note and mail", 120, daemon)
    assert waited < 5  # 2 s on a machine that has nothing else to do
    by_recipient = await sent(sink)
    assert (len(by_recipient), set(by_recipient.values())) == (601, {1})
    notes = Counter(note["deal_id"] for note in world.db["notes"].find())
    assert (len(notes), set(notes.values())) == (600, {1})


def done_by_all(world: World) -> list[int]:
    return [world.db["deals"].count_documents({"automation_triggered": oid("e", n)}) for n in (1, 2, 3)]
