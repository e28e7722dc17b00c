"""Workflows under daemons that are killed one after the other: the outcome is the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from bson import ObjectId

from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.workflows import REPLY, contact, contact_of, enrollment, inserted, step, waiting_workflow
from tests.support.world import World

KILLS = 10


def answer(world: World, replied: set[ObjectId]) -> None:
    """Those who wait for a reply, and have sent none, reply."""
    for one in world.db["workflow_enrollments"].find({"waiting_for": REPLY}):
        if one["contact_id"] not in replied:
            replied.add(one["contact_id"])
            inserted(world, REPLY, one["contact_id"])


@pytest.mark.slow
async def test_random_kills_change_nothing_of_the_outcome(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    """Ten daemons in a row, each killed at a moment of its own; the eleventh ends what is left."""
    waiting_workflow(world, step("wait", seconds=1))
    contacts = [contact(world, hot=n % 2 == 0) for n in range(20)]
    random, replied = Random(13), set[ObjectId]()  # noqa: S311
    for n in range(KILLS):
        daemon = await _started(environment, tmp_path, f"daemon{n}")
        for one in contacts[n * 2 : n * 2 + 2]:
            inserted(world, "contact.created", one)
        await asyncio.sleep(random.uniform(0.1, 2.0))
        answer(world, replied)
        await asyncio.sleep(random.uniform(0.02, 0.5))
        daemon.kill()

    def all_completed() -> bool:
        answer(world, replied)
        return world.db["workflow_enrollments"].count_documents({"status": "completed"}) == 20

    daemon = await _started(environment, tmp_path, "last")
    try:
        await eventually(all_completed, "all are completed", 90, daemon)
    finally:
        daemon.kill()
    for n, one in enumerate(contacts):
        last = "hot" if n % 2 == 0 else "cold"
        branch_path = "4.then.1" if n % 2 == 0 else "4.else.1"
        assert contact_of(world, one)["tags"] == ["begun", last]
        paths = [entry["path"] for entry in enrollment(world, one)["log"]]
        assert paths == ["1", "2", "3", "4", branch_path, "5"]
    assert world.db["tasks"].count_documents({}) == 20
    assert world.db["crm_events"].count_documents({"type": "contact.updated"}) == 40


async def _started(environment: dict[str, str], folder: Path, name: str) -> Daemon:
    daemon = Daemon({**environment, "QUEUE_MAX_JOBS_PER_SECOND": "100"}, folder, name)
    await eventually(lambda: daemon.ready, "a daemon is ready", 30, daemon)
    return daemon
