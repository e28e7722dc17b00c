"""The engine works with the rights in Redis that docs/operations.md lists, and names a right that is missing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from redis import Redis as Client

from pipeline_engine.embedded.redis import Redis
from tests.support.command_line import Subprocess
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.world import World

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def rights() -> list[str]:
    found = re.search(r"^ACL SETUSER engine (.*)$", OPERATIONS.read_text(), re.MULTILINE)
    assert found
    return found[1].split()


@pytest.fixture
def as_engine(environment: dict[str, str], own_redis: Redis) -> dict[str, str]:
    """The settings of the user that the page describes, at a Redis that knows it."""
    with Client.from_url(own_redis.url) as admin:
        admin.execute_command("ACL", "SETUSER", "engine", *rights())
    url = own_redis.url.replace("redis://", "redis://engine:PASSWORD@")
    return {**environment, "REDIS_URL": url, "REDIS_PREFIX": "pe:"}


@pytest.mark.slow
async def test_daemon_and_commands_need_no_other_rights(
    as_engine: dict[str, str], own_redis: Redis, world: World, tmp_path: Path
) -> None:
    daemon = Daemon(as_engine, tmp_path, "daemon")
    try:
        await eventually(lambda: daemon.ready, "the daemon starts", 60, daemon)
        queue_id = world.submit("Deal\nOne\n", {"Deal": "name"})
        await eventually(lambda: world.import_of(queue_id)["status"] == "completed", "it runs", 60, daemon)
        command = Subprocess(as_engine, tmp_path)
        for words in (
            ["doctor"],
            ["run-once"],
            ["queues"],
            ["queues", "pause", "events.outbox"],
            ["queues", "resume", "events.outbox"],
        ):
            ran: subprocess.CompletedProcess[str] = command(*words)
            assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
        await daemon.terminate()
    finally:
        daemon.kill()
    assert "NOPERM" not in daemon.log.read_text()
    with Client.from_url(own_redis.url) as admin:
        refused = [entry[entry.index(b"object") + 1] for entry in admin.execute_command("ACL", "LOG")]
    assert refused == []


@pytest.mark.parametrize("command", ["zadd", "evalsha", "subscribe", "hset", "psetex", "ping"])
async def test_a_right_that_is_missing_is_named(
    as_engine: dict[str, str], own_redis: Redis, world: World, tmp_path: Path, command: str
) -> None:
    with Client.from_url(own_redis.url) as admin:
        admin.execute_command("ACL", "SETUSER", "engine", f"-{command}")
    world.submit("Deal\nOne\n", {"Deal": "name"})
    daemon = Daemon(as_engine, tmp_path, "daemon")
    named = f"the command {command.upper()} (NOPERM)"
    try:
        await eventually(lambda: named in daemon.log.read_text(), f"{named} is in the log", 60, daemon)
    finally:
        daemon.kill()
    assert "Traceback" not in daemon.log.read_text()
