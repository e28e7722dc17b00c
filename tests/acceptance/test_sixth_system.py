"""A system of its own folder and one row: daemon, run-once, queues, triggers, metrics and doctor know it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from bson import ObjectId

from pipeline_engine.clock import Clock
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.tokens import ServiceTokens
from tests.support.command_line import Subprocess
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.metrics import scrape
from tests.support.world import Document, World

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def toy_environment(environment: dict[str, str]) -> dict[str, str]:
    port = str(free_ports(1)[0])
    return {**environment, "PYTHONPATH": ROOT, "HTTP_ENABLED": "true", "HTTP_PORT": port, "QM_HOOKS": "true"}


@pytest.fixture
def toys(toy_environment: dict[str, str], tmp_path: Path) -> Subprocess:
    return Subprocess(toy_environment, tmp_path, "tests.acceptance.toys")


@pytest.fixture
async def daemon(toy_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(toy_environment, tmp_path, "toys", "tests.acceptance.toys.daemon.WorkerSettings")
    try:
        await eventually(lambda: daemon.ready, "the daemon is ready", 30, daemon)
        yield daemon
    finally:
        daemon.kill()


def toy(world: World, **fields: object) -> ObjectId:
    document = {"account_id": world.account, "state": "due", **fields}
    return ObjectId(world.db["toys"].insert_one(document).inserted_id)


def state_of(world: World, id: ObjectId) -> Document:
    found = world.db["toys"].find_one({"_id": id})
    assert found is not None
    return found


def test_run_once_paints_every_toy_and_counts_what_failed(world: World, toys: Subprocess) -> None:
    good, bad = toy(world), toy(world, greasy=True)

    ran = toys("run-once", "toys.paint", "--json")

    assert ran.returncode == 1, ran.stderr
    (sweep,) = json.loads(ran.stdout)["sweeps"]
    assert (sweep["units"], sweep["succeeded"], sweep["failed"], sweep["busy"]) == (2, 1, 1, 0)
    assert (state_of(world, good)["state"], state_of(world, bad)["state"]) == ("painted", "broken")
    assert (state_of(world, bad)["attempts"], state_of(world, bad)["is_wet"]) == (2, False)


def test_queues_list_shows_its_lane_and_doctor_its_indexes_and_stuck_work(world: World, toys: Subprocess) -> None:
    broken = toy(world, state="broken")

    assert "toys.paint" in toys("queues", "list").stdout
    assert toys("queues", "pause", "toys.paint").returncode == 0
    assert "toys.state_1" in toys("doctor").stdout
    assert "toys" in toys("indexes").stdout
    examined = toys("doctor").stdout
    assert "toys.state_1" not in examined
    assert str(broken) in examined
    assert "toys that no one can paint" in examined


async def test_the_daemon_paints_at_once_what_becomes_due(world: World, daemon: Daemon) -> None:
    id = toy(world)

    await eventually(lambda: state_of(world, id)["state"] == "painted", "it is painted", 15, daemon)


async def test_a_trigger_starts_its_sweep(world: World, daemon: Daemon, toy_environment: dict[str, str]) -> None:
    token = ServiceTokens(toy_environment["APP_SECRET"], Clock()).mint(Identity(str(world.user), str(world.account)))
    url = f"http://127.0.0.1:{toy_environment['HTTP_PORT']}/api/trigger/toys"
    async with ClientSession() as session, session.post(url, headers={"Authorization": f"Bearer {token}"}) as response:
        assert (response.status, (await response.json())["sweep"]) == (202, "toys.paint")


async def test_metrics_show_its_lane_and_stuck_work(
    world: World, daemon: Daemon, toy_environment: dict[str, str]
) -> None:
    toy(world, state="broken")

    found = await scrape(f"http://127.0.0.1:{toy_environment['HTTP_PORT']}")

    assert found.value("lane_places", "toys.paint") == 2
    assert found.value("lane_jobs", "toys.paint", "waiting") is not None
    assert found.value("stuck_documents", "toys", "toys that no one can paint") == 1
