"""Workflows in the production daemon: everything is noticed at once, though it sweeps every ten minutes only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from bson import ObjectId

from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.workflows import branch, contact, contact_of, enrollment, field, step, workflow
from tests.support.world import World

REPLY = "email.replied"


def inserted(world: World, type: str, contact_id: ObjectId) -> None:
    """As a plain client of MongoDB does."""
    event = {"_id": ObjectId(), "type": type, "account_id": world.account, "status": "new"}
    data = {"contact_id": contact_id}
    world.db["crm_events"].insert_one({**event, "data": data, "occurred_at": datetime.now(UTC)})


def waiting_workflow(world: World, *first: dict[str, object]) -> ObjectId:
    wait = step("wait_for_event", type=REPLY, timeout_seconds=600)
    hot = branch(field("contact.hot", "eq", True), [step("add_tag", tag="hot")], [step("add_tag", tag="cold")])
    return workflow(world, step("add_tag", tag="begun"), *first, wait, hot, step("create_task", title="Call"))


@contextmanager
def running(environment: dict[str, str], folder: Path, name: str) -> Iterator[Daemon]:
    daemon = Daemon({**environment, "EVENT_SWEEP_SECONDS": "600", "QUEUE_MAX_JOBS_PER_SECOND": "100"}, folder, name)
    try:
        yield daemon
    finally:
        if daemon.alive:
            daemon.kill()


@pytest.fixture
async def daemon(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Daemon]:
    with running(environment, tmp_path, "daemon") as daemon:
        await eventually(lambda: daemon.ready, "the daemon is ready", 30, daemon)
        yield daemon


@pytest.mark.covers("CL-08")
async def test_a_daemon_enrols_waits_pauses_and_hears_of_replies(world: World, daemon: Daemon) -> None:
    id = waiting_workflow(world, step("wait", seconds=1))
    one = contact(world, hot=True)
    inserted(world, "contact.created", one)

    def state() -> object:
        found = list(world.db["workflow_enrollments"].find({"contact_id": one}))
        return found and (found[0]["status"], found[0].get("waiting_for"))

    await eventually(lambda: state() == ("active", REPLY), "it waits for a reply", 20, daemon)
    world.db["workflows"].update_one({"_id": id}, {"$set": {"paused": {"since": datetime.now(UTC)}}})
    await eventually(lambda: state() == ("paused", REPLY), "it is paused", 10, daemon)
    world.db["workflows"].update_one({"_id": id}, {"$unset": {"paused": ""}})
    await eventually(lambda: state() == ("active", REPLY), "it goes on", 10, daemon)
    began = time.monotonic()
    inserted(world, REPLY, one)
    await eventually(lambda: state() == ("completed", None), "the reply is heard of", 10, daemon)

    assert time.monotonic() - began < 5
    assert contact_of(world, one)["tags"] == ["begun", "hot"]


def answer(world: World, replied: set[ObjectId]) -> None:
    """Those who wait for a reply, and have sent none, reply."""
    for one in world.db["workflow_enrollments"].find({"waiting_for": REPLY}):
        if one["contact_id"] not in replied:
            replied.add(one["contact_id"])
            inserted(world, REPLY, one["contact_id"])


async def test_random_kills_change_nothing_of_the_outcome(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    """Ten daemons in a row, each killed at a moment of its own; the eleventh ends what is left."""
    waiting_workflow(world, step("wait", seconds=1))
    contacts = [contact(world, hot=n % 2 == 0) for n in range(20)]
    random, replied = Random(13), set[ObjectId]()  # noqa: S311
    for n in range(10):
        with running(environment, tmp_path, f"daemon{n}") as daemon:
            await eventually(lambda daemon=daemon: daemon.ready, "a daemon is ready", 30, daemon)  # type: ignore[misc]
            for one in contacts[n * 2 : n * 2 + 2]:
                inserted(world, "contact.created", one)
            await asyncio.sleep(random.uniform(0.1, 2.0))
            answer(world, replied)
            await asyncio.sleep(random.uniform(0.02, 0.5))
            daemon.kill()

    def all_completed() -> bool:
        answer(world, replied)
        return world.db["workflow_enrollments"].count_documents({"status": "completed"}) == 20

    with running(environment, tmp_path, "last") as daemon:
        await eventually(all_completed, "all are completed", 90, daemon)
    for n, one in enumerate(contacts):
        last = "hot" if n % 2 == 0 else "cold"
        branch_path = "4.then.1" if n % 2 == 0 else "4.else.1"
        assert contact_of(world, one)["tags"] == ["begun", last]
        paths = [entry["path"] for entry in enrollment(world, one)["log"]]
        assert paths == ["1", "2", "3", "4", branch_path, "5"]
    assert world.db["tasks"].count_documents({}) == 20
    assert world.db["crm_events"].count_documents({"type": "contact.updated"}) == 40
