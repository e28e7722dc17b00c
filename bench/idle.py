"""How many Redis commands an idle daemon sends a day, in both profiles: `python -m bench.idle [SECONDS]`.

It counts for SECONDS (600 by default, after a minute to settle) in each profile, both at once, each on servers of its
own. MONITOR counts what clients send, which a metered Redis bills; a script is one command. `INFO commandstats` counts
what scripts call as well; its sum stands beside it. Measure for 1,800 s or more to see the half-hourly mark too.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench.program import environment
from bench.row import HEAD, Row
from pipeline_engine.embedded import EmbeddedServers
from tests.support.daemon import Daemon
from tests.support.redis_commands import listen

DAY = 86_400
SETTLE_SECONDS = 60.0
AIMS = {"frugal": "≤ 500", "default": ""}


async def main(seconds: float) -> list[Row]:
    """The rows of both profiles."""
    return list(await asyncio.gather(*[asyncio.to_thread(_measure, profile, seconds) for profile in AIMS]))


def _measure(profile: str, seconds: float) -> Row:
    with EmbeddedServers() as servers, tempfile.TemporaryDirectory() as folder:
        settings = environment(servers.environment(), f"idle_{profile}")
        production = {"LEASE_SECONDS": "15", "HEARTBEAT_SECONDS": "5", "LOG_LEVEL": "INFO"}
        daemon = Daemon({**settings, **production, "PROFILE": profile}, Path(folder), profile)
        try:
            return asyncio.run(_row(profile, settings, daemon, seconds))
        finally:
            daemon.kill()


async def _row(profile: str, settings: Mapping[str, str], daemon: Daemon, seconds: float) -> Row:
    url = settings["REDIS_URL"]
    async with listen(url) as commands, Redis.from_url(url) as client:
        await asyncio.sleep(SETTLE_SECONDS)
        assert daemon.ready, daemon.tail()
        before = await _calls(client)
        commands.forget()
        await asyncio.sleep(seconds)
        called = await _calls(client) - before
        counts = commands.counts.copy()
    del counts["INFO"]  # this program's own
    most = ", ".join(f"{name} {count}" for name, count in counts.most_common(5) if count)
    return Row(
        f"Redis commands a day of an idle daemon, {profile} profile",
        f"{counts.total() * DAY / seconds:,.0f}",
        f"{called * DAY / seconds:,.0f} in INFO commandstats, with what scripts call",
        "-",
        AIMS[profile],
        f"{seconds:,.0f} s: {most or 'none'}",
    )


async def _calls(client: Redis) -> int:
    """All calls that the server has counted, those of scripts included."""
    stats: dict[str, dict[str, Any]] = await client.info("commandstats")
    return sum(int(one["calls"]) for one in stats.values())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        wanted = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
        print(HEAD, *(row.markdown() for row in asyncio.run(main(wanted))), sep="\n")
