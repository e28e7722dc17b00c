"""The frugal profile: an idle daemon leaves Redis alone, and work starts as quickly as ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_engine import engine, redis_loss
from pipeline_engine.daemon import FRUGAL_POLL_SECONDS
from pipeline_engine.embedded.redis import Redis
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.redis_commands import listen
from tests.support.world import World

DAY = 86_400
IDLE_SECONDS = 8.0
"""A daemon of the default profile sends about 25 commands in that time."""


@pytest.mark.slow
@pytest.mark.covers("CL-X4")
async def test_an_idle_daemon_sends_nothing_between_its_looks(
    environment: dict[str, str], own_redis: Redis, world: World, tmp_path: Path
) -> None:
    frugal = {**environment, "PROFILE": "frugal", "REDIS_URL": own_redis.url}
    async with listen(own_redis.url) as commands:
        daemon = Daemon(frugal, tmp_path, "daemon")
        try:
            await eventually(lambda: daemon.ready, "the daemon starts", 60, daemon)
            await eventually(lambda: commands.quiet_for > 4, "it has said what it says at the start", 60, daemon)
            assert commands.counts["EVALSHA"] > 0, "commands are heard"

            queue_id = world.submit("Deal\nOne\n", {"Deal": "name"})
            await eventually(lambda: world.import_of(queue_id)["status"] == "completed", "it works", 20, daemon)
            await eventually(lambda: commands.quiet_for > 4, "it rests again", 30, daemon)

            commands.forget()
            await eventually(lambda: commands.quiet_for > IDLE_SECONDS, "a while passed", 60, daemon)
            assert commands.counts == {}
        finally:
            await daemon.terminate()
    assert daemon.exit_code == 0


@pytest.mark.covers("CL-X4")
def test_what_is_left_to_send_adds_up_to_less_than_500_commands_a_day() -> None:
    looks = DAY / engine.FRUGAL_POLL_SECONDS  # one script for all lanes
    marks = 2 * DAY / redis_loss.FRUGAL_CHECK_SECONDS  # with the PING of a connection that was idle
    arq = 3 * DAY / FRUGAL_POLL_SECONDS  # its poll, and its health key
    assert looks + marks + arq <= 500
