"""The oplog rolls over while a daemon stands still: the point to which its change stream had come is gone (case 46)."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Callable
from os import kill
from pathlib import Path
from typing import Any

import psutil
import pytest
from bson import ObjectId
from bson.timestamp import Timestamp

from pipeline_engine.embedded.mongo import Mongo
from tests.support.automations import deal_of
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.funnels import Original, assert_whole, funnel_of, new_clone
from tests.support.load import load_factor
from tests.support.world import World

pytestmark = pytest.mark.slow

OPLOG_MB = 10
NOISE_BYTES, NOISE_DOCUMENTS = 100_000, 50
SWEEPS = ("IMPORT", "AUTOMATION", "FUNNEL", "OUTBOX")
BY_THE_STREAM_ONLY = {f"{name}_SWEEP_SECONDS": "86400" for name in SWEEPS}
"""arq's cron then wakes the sweeps at the full hour only."""
ONE_LOOK_SECONDS, STREAM_SECONDS = 30.0, 5.0
IDLE_SECONDS, IDLE_SHARE = 5.0, 0.2

Break = Callable[[World], object]


@pytest.fixture
async def small_mongo(tmp_path: Path) -> AsyncIterator[Mongo]:
    mongo = Mongo(tmp_path, oplog_mb=OPLOG_MB)
    await mongo.start()
    yield mongo
    await mongo.stop(patience=0)


@pytest.fixture
def environment(environment: dict[str, str], small_mongo: Mongo) -> dict[str, str]:
    return {**environment, "MONGO_URL": small_mongo.url, **BY_THE_STREAM_ONLY}


def submit(world: World) -> ObjectId:
    return world.submit("Deal\nOne\nTwo\nThree\n", {"Deal": "name"})


def is_done(world: World, queue_id: ObjectId) -> bool:
    return bool(world.import_of(queue_id)["status"] == "completed")


def roll_over(world: World) -> None:
    """Write and remove noise until the oldest entry of the oplog is younger than now. mongod truncates by itself, up to
    its last checkpoint; it makes one a minute, and one when it is asked to (`fsync`)."""
    admin, oplog = world.db.client.admin, world.db.client["local"]["oplog.rs"]
    now: Timestamp = admin.command("hello")["lastWrite"]["opTime"]["ts"]
    until = time.monotonic() + 60 * load_factor()
    while oplog.find_one(sort=[("$natural", 1)])["ts"] <= now:  # type: ignore[index]
        assert time.monotonic() < until, "the oplog does not roll over"
        world.db["noise"].insert_many([{"noise": "x" * NOISE_BYTES} for _ in range(NOISE_DOCUMENTS)])
        world.db["noise"].delete_many({})
        admin.command("fsync")


def nothing(_world: World) -> None:
    return


def kill_cursors(world: World) -> None:
    """The next call of the stream resumes it by its token."""
    admin = world.db.client.admin
    idle: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True}},
        {"$match": {"type": "idleCursor", "ns": {"$regex": "aggregate$"}}},
    ]
    for one in admin.aggregate(idle):
        killed = world.db.command("killCursors", "$cmd.aggregate", cursors=[one["cursor"]["cursorId"]])
        assert killed["cursorsKilled"]


@pytest.mark.parametrize("interrupt", [nothing, kill_cursors], ids=["the cursor stands", "the cursor is killed"])
async def test_46_a_daemon_whose_place_in_the_oplog_is_gone_looks_once_and_goes_on(
    world: World, environment: dict[str, str], tmp_path: Path, interrupt: Break, figure: list[str]
) -> None:
    original, automation = Original(world), world.automation("note", note="x")
    daemon = Daemon(environment, tmp_path, "daemon")
    try:
        await eventually(lambda: daemon.ready, "the daemon starts", 60, daemon)
        first = submit(world)
        await eventually(lambda: is_done(world, first), "an import before it", 60, daemon)

        kill(daemon.pid, signal.SIGSTOP)
        missed, clone, deal = submit(world), new_clone(world, original), world.deal()
        interrupt(world)
        roll_over(world)
        kill(daemon.pid, signal.SIGCONT)
        woken = time.monotonic()

        def found() -> bool:
            acted = automation in deal_of(world, deal).get("automation_triggered", [])
            return is_done(world, missed) and not funnel_of(world, clone)["pending"] and acted

        await eventually(found, "one look finds import, clone and deal", ONE_LOOK_SECONDS * load_factor(), daemon)
        figure.append(f"import, clone and deal of the outage done after {time.monotonic() - woken:.1f} s")
        assert_whole(world, clone, original)
        lost = [one for one in daemon.said("loop.failed") if "ChangeStreamHistoryLost" in one["error"]]
        assert len(lost) == 1, daemon.tail()
        assert lost[0]["loop"] == "watcher"
        assert "every sweep looks at all" in lost[0]["error"]

        later, submitted = submit(world), time.monotonic()
        limit = STREAM_SECONDS * load_factor()
        await eventually(lambda: is_done(world, later), "the new stream finds an import", limit, daemon)
        figure.append(f"the next import after {time.monotonic() - submitted:.1f} s")
        await calm(daemon)
        assert [one for one in daemon.said("loop.failed") if one["loop"] == "watcher"] == lost
        assert daemon.alive
    finally:
        daemon.kill()


async def calm(daemon: Daemon) -> None:
    """Wait until the daemon, over some seconds, uses little of a processor."""
    process = psutil.Process(daemon.pid)

    def used() -> float:
        return sum(process.cpu_times()[:2])

    began: list[Any] = [time.monotonic(), used()]

    def is_idle() -> bool:
        if time.monotonic() - began[0] < IDLE_SECONDS:
            return False
        share = (used() - began[1]) / (time.monotonic() - began[0])
        began[:] = time.monotonic(), used()
        return bool(share < IDLE_SHARE)

    await eventually(is_idle, "the daemon is idle", 4 * IDLE_SECONDS, daemon)
