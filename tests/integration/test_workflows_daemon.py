"""Workflows in the production daemon: everything is noticed at once, though it sweeps every ten minutes only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.workflows import REPLY, contact, contact_of, inserted, step, waiting_workflow
from tests.support.world import World


@pytest.fixture
async def daemon(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Daemon]:
    seldom = {"EVENT_SWEEP_SECONDS": "600", "QUEUE_MAX_JOBS_PER_SECOND": "100"}
    daemon = Daemon({**environment, **seldom}, tmp_path, "daemon")
    await eventually(lambda: daemon.ready, "the daemon is ready", 30, daemon)
    yield daemon
    if daemon.alive:
        daemon.kill()


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
