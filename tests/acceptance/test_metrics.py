"""`GET /metrics` of a daemon that works."""

from __future__ import annotations

from pathlib import Path

from pipeline_engine.embedded.ports import free_ports
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.metrics import Scrape, scrape
from tests.support.world import World


async def test_a_daemon_counts_what_it_has_done(environment: dict[str, str], world: World, tmp_path: Path) -> None:
    port = str(free_ports(1)[0])
    daemon = Daemon({**environment, "HTTP_ENABLED": "true", "HTTP_PORT": port}, tmp_path, "daemon", cold=True)
    await eventually(lambda: daemon.ready, "the daemon is ready", 30, daemon)
    world.submit("Deal\nOne\n", {"Deal": "name"})

    async def counted() -> Scrape | None:
        found = await scrape(f"http://127.0.0.1:{port}")
        return found if found.value("job_attempts_total", "deals.import.rows", "done") else None

    found = await eventually(counted, "the rows are counted", 30, daemon)
    assert found is not None
    assert (found.value("lane_places", "deals.import.rows"), found.value("draining")) == (8, 0)
    assert set(found.samples("up").values()) == {1}
    assert await daemon.terminate() < 10
