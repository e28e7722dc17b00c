"""Redis fails over in mid-import: the old master becomes a replica and lives on, and the name means another server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis as RedisClient

from pipeline_engine.embedded.redis import Redis
from tests.support.drills.drill import Drill
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill, ImportPlan
from tests.support.proxy import Proxy

ROWS, CHUNKS = 2_400, 120
MAX_FAILOVER_SECONDS = 10.0


@pytest.fixture
async def successor(tmp_path: Path) -> AsyncIterator[Redis]:
    server = Redis(tmp_path / "successor")
    await server.start()
    yield server
    await server.stop(patience=0)


@pytest.fixture
async def drill(environment: dict[str, str], successor: Redis, tmp_path: Path) -> AsyncIterator[ImportDrill]:
    settings = {**environment, "REDIS_URL": successor.url, "IMPORT_CHUNK_ROWS": str(ROWS // CHUNKS)}
    async with Drill(ImportPlan(), settings, tmp_path) as drill:
        yield drill


@pytest.mark.slow
@pytest.mark.parametrize("follows", [True, False], ids=["its successor", "none"])
async def test_an_import_goes_on_at_the_successor(
    drill: ImportDrill, own_redis: Redis, successor: Redis, follows: bool, figure: list[str]
) -> None:
    async with Proxy.before(own_redis.url) as name:
        drill.plan.plant(csv_file(ROWS))
        daemon = await drill.started(REDIS_URL=name.instead_of(own_redis.url))
        await drill.progress(CHUNKS // 10)

        async with RedisClient.from_url(own_redis.url) as admin:
            await admin.execute_command("REPLICAOF", "127.0.0.1", successor.port if follows else 1)
        name.target = ("127.0.0.1", successor.port)
        done = drill.plan.done()
        went_on = await drill.progress(done + 1)
        assert done < CHUNKS, "the import was over before the fail-over"

        await drill.come_to_rest(timeout=60)
        drill.check()
        assert daemon.alive
        assert "Traceback" not in daemon.log.read_text()
        figure.append(f"went on after {went_on:.1f} s, nothing lost")
        assert went_on < MAX_FAILOVER_SECONDS
