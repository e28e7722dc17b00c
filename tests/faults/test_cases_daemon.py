"""The situations of tests/cases in which a daemon dies, or is flooded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from email import message_from_string
from pathlib import Path
from typing import Any

import psutil
import pytest
from bson import ObjectId

from pipeline_engine.embedded.sink import Sink
from tests.support.automations import ago, automation_of
from tests.support.cases import oid, plant, read
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.load import load_factor
from tests.support.world import World

Start = Callable[[], Awaitable[Daemon]]

AUTOMATION = oid("e")
PLACES = 5  # of the lane of emails
BEGINS_WITHIN = {"SIGTERM": 5, "SIGKILL": 20}  # seconds


@pytest.fixture
async def start(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a daemon with the usual leases and waits until it is up."""
    started: list[Daemon] = []
    usual = {"LEASE_SECONDS": "15", "HEARTBEAT_SECONDS": "5"}

    async def begin() -> Daemon:
        daemon = Daemon({**environment, **usual}, tmp_path, f"daemon-{len(started)}")
        started.append(daemon)
        await eventually(lambda: daemon.ready, "the daemon is up", 30, daemon)
        return daemon

    yield begin
    for daemon in started:
        daemon.kill()


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
    before = automation_of(world, AUTOMATION)
    second = await start()
    began = BEGINS_WITHIN[end] * load_factor()

    def is_claimed() -> bool:  # unless the first has sent everything while it stopped
        return automation_of(world, AUTOMATION)["token"] > before["token"] or done(world) == 50

    await eventually(is_claimed, "it is claimed", began, second)
    if end == "SIGTERM":
        assert (before["crashes"], automation_of(world, AUTOMATION)["crashes"]) == (0, 0)

    await eventually(lambda: done(world) == 50, "all deals are done", 60, second)
    await eventually(lambda: not automation_of(world, AUTOMATION)["is_running"], "the run has ended", 20, second)

    by_recipient = await sent(sink)
    assert len(by_recipient) == 50
    doubles = [to for to, count in by_recipient.items() if count > 1]
    assert len(doubles) <= (PLACES if end == "SIGKILL" else 0)
    assert end == "SIGKILL" or not world.db["effects"].count_documents({"attempts": {"$ne": 1}})
    ids: dict[str, set[str]] = {}
    for one in await sink.records():
        ids.setdefault(one["recipients"][0], set()).add(str(message_from_string(one["message"])["Message-ID"]))
    assert all(len(one) == 1 for one in ids.values())
    ambiguous = {str(one["_id"]).split(":")[1] for one in world.db["effects"].find({"ambiguous": True})}
    doubled = {str(one["_id"]) for one in world.db["deals"].find({"contact_email": {"$in": doubles}})}
    assert doubled <= ambiguous
    entries = [entry["deal"] for log in world.db["automation_logs"].find() for entry in log["success"]]
    assert len(entries) == len(set(entries)) == 50


@pytest.mark.parametrize("rows", [600, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_27_a_burst_of_one_account_does_not_hold_up_its_neighbour(
    world: World, start: Start, sink: Sink, rows: int
) -> None:
    """In the small burst the neighbour enters in the middle as well."""
    plant("27-burst-and-neighbour", world.db)
    body = "".join(f"Burst {n},Inbox,burst{n}@post.example\n" for n in range(1, rows + 1))
    daemon = await start()
    before = psutil.Process(daemon.pid).memory_info().rss
    burst, submitted = submit(world, "Deal Name,Stage,Contact Email\n" + body), time.monotonic()
    await sink.wait_for(20, 60)
    # Mails do not wait for the end of the import; a fast machine imports all rows before the stage is looked at.
    is_on = world.import_of(burst)["status"] == "processing"
    assert is_on or time.monotonic() - submitted < 4 * load_factor()

    entered = time.monotonic()
    move = {"stage_id": oid("c", 0xB), "automation_starts": ago(seconds=0)}
    world.db["deals"].update_one({"_id": oid("f", 1)}, {"$set": move})
    await sink.wait_for(1, 30, recipients=["only@post.example"])
    waited = time.monotonic() - entered

    await eventually(lambda: done_by_all(world) == [rows] * 3, "all deals have tag, note and mail", 900, daemon)
    assert waited < 2 * load_factor()
    assert psutil.Process(daemon.pid).memory_info().rss - before < 50 * 2**20
    by_recipient = await sent(sink)
    assert (len(by_recipient), set(by_recipient.values())) == (rows + 1, {1})
    notes = Counter(note["deal_id"] for note in world.db["notes"].find())
    assert (len(notes), set(notes.values())) == (rows, {1})
    running = {"is_running": True}
    await eventually(lambda: not world.db["automations"].count_documents(running), "the runs have ended", 20, daemon)


def submit(world: World, file: str) -> ObjectId:
    about: dict[str, Any] = {
        "account_id": oid("a"),
        "user_id": oid("b"),
        "additional_data": {"pipeline_id": oid("1a")},
    }
    return world.submit(file, read("27-burst-and-neighbour")["mappings"], **about)


def done_by_all(world: World) -> list[int]:
    return [world.db["deals"].count_documents({"automation_triggered": oid("e", n)}) for n in (1, 2, 3)]
