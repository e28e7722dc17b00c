"""A sweep, triggered over HTTP: in the daemon, and by `serve` for daemons elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession
from bson import ObjectId
from redis import Redis

from pipeline_engine.clock import Clock
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.embedded.program import leashed
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.tokens import ServiceTokens
from tests.acceptance.conftest import Start
from tests.support.eventually import eventually
from tests.support.leads import action, entered, entry, stage
from tests.support.world import World

SELDOM = "600"
"""Seconds between two looks by the clock."""


@pytest.fixture
def hooks(environment: dict[str, str]) -> dict[str, str]:
    """An engine with a trigger API that looks by itself every ten minutes only."""
    port = str(free_ports(1)[0])
    names = ("AUTOMATION_SWEEP_SECONDS", "IMPORT_SWEEP_SECONDS", "LEADS_SWEEP_SECONDS")
    seldom = dict.fromkeys(names, SELDOM)
    return {**environment, **seldom, "QM_HOOKS": "true", "HTTP_ENABLED": "true", "HTTP_PORT": port}


async def post(hooks: dict[str, str], world: World, path: str) -> int:
    token = ServiceTokens(hooks["APP_SECRET"], Clock()).mint(Identity(str(world.user), str(world.account)))
    url = f"http://127.0.0.1:{hooks['HTTP_PORT']}/api/trigger/{path}"
    headers = {"Authorization": f"Bearer {token}"}
    async with ClientSession() as session, session.post(url, headers=headers) as response:
        return response.status


@pytest.mark.covers("DA-24")
async def test_the_daemon_looks_when_it_is_asked(world: World, hooks: dict[str, str], start: Start) -> None:
    automation = world.automation("add_tag", tag=ObjectId(), delay=2)
    daemon = await start(**hooks)
    # What is due two seconds after its change: no other change wakes the sweep then.
    deal = world.deal(automation_starts=datetime.now(UTC))

    async def fired() -> bool:
        assert await post(hooks, world, "deals/automations") == 202
        return world.db["deals"].count_documents({"_id": deal, "automation_triggered": automation}) == 1

    await eventually(fired, "the automation fired")
    assert await daemon.terminate() < 25
    assert daemon.exit_code == 0


@contextmanager
def serving(settings: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = leashed([sys.executable, "-m", "pipeline_engine", "serve"])
    server = subprocess.Popen(command, env=settings, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield server
    finally:
        server.kill()
        server.communicate()


@pytest.mark.covers("LP-12")
async def test_serve_hands_leads_to_daemons_elsewhere(world: World, hooks: dict[str, str], tmp_path: Path) -> None:
    _, entry_id = entered(world, stage(world, action("note", note="x")))
    with serving(hooks, tmp_path) as server:
        await eventually(lambda: accepted(server, hooks, world, "leads"), "the trigger is accepted", timeout=30)
        with Redis.from_url(hooks["REDIS_URL"]) as redis:
            jobs = f"{hooks['REDIS_PREFIX']}leads.enter:jobs"
            await eventually(lambda: redis.hlen(jobs) == 1, "the account's job waits for a daemon")
        assert await post({**hooks, "APP_SECRET": "another secret of thirty-two bytes"}, world, "leads") == 401
    assert entry(world, entry_id)["status"] == "entering"


async def accepted(server: subprocess.Popen[bytes], hooks: dict[str, str], world: World, path: str) -> bool:
    try:
        return await post(hooks, world, path) == 202
    except ClientError:
        assert server.poll() is None, server.communicate()
        return False


async def test_serve_hands_it_to_daemons_elsewhere(world: World, hooks: dict[str, str], tmp_path: Path) -> None:
    import_id = world.submit("name\nAcme\n", {"name": "name"})
    with serving(hooks, tmp_path) as server:
        await eventually(lambda: accepted(server, hooks, world, "deals/import"), "the trigger is accepted", timeout=30)
        with Redis.from_url(hooks["REDIS_URL"]) as redis:

            async def waits() -> bool:
                return bool(redis.exists(f"{hooks['REDIS_PREFIX']}deals.import:jobs"))

            await eventually(waits, "a job waits for a daemon")
        assert world.import_of(import_id)["status"] == "pending"
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
