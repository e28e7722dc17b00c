"""Random mutations of valid documents of every system harm nobody but themselves.

`FUZZ_SECONDS` and `FUZZ_SEED` change length and mutants; `FUZZ_ONLY=7,12` plants only the mutants with these numbers,
`FUZZ_KINDS=lead,reply of a lead` draws only such units (the numbers then mean other mutants).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pipeline_engine import settings
from tests.support.daemon import Daemon
from tests.support.engine_app import open_app
from tests.support.eventually import eventually
from tests.support.fuzz.run import SETTINGS, Fuzz
from tests.support.load import load_factor
from tests.support.own_loop import on_own_loop
from tests.support.stand_ins.endpoint import Endpoint
from tests.support.world import World

QUICK_SEED = "fcdb5067"
"""Within `make test` the mutants are the same in every run: what other seeds find is for `make fuzz`."""
MAX_LATE_SECONDS = 2.0
MAX_GROWTH_MB = 50


async def test_mutants_harm_no_neighbour(
    environment: dict[str, str], world: World, tmp_path: Path, figure: list[str]
) -> None:
    seed = os.environ.get("FUZZ_SEED") or (secrets.token_hex(4) if "FUZZ_SECONDS" in os.environ else QUICK_SEED)
    only = [int(number) for number in os.environ.get("FUZZ_ONLY", "").split(",") if number]
    kinds = [name for name in os.environ.get("FUZZ_KINDS", "").split(",") if name]
    daemon = Daemon({**environment, **SETTINGS}, tmp_path, "daemon")
    try:
        await eventually(lambda: daemon.ready, "the daemon is up", 30 * load_factor(), daemon)
        # The endpoint has a thread of its own, so that looking at mutants delays none of its answers.
        with on_own_loop(Endpoint()) as endpoint:
            async with open_app(settings.from_environment(environment)) as app:
                fuzz = Fuzz(seed, world, app, daemon, endpoint.url, only, kinds)
                report = await fuzz.run(float(os.environ.get("FUZZ_SECONDS", "10")))
    finally:
        daemon.kill()
    figure.append(str(report))
    assert not report.faults, "\n".join([str(report), *report.faults])
    assert report.late < MAX_LATE_SECONDS * load_factor(), str(report)
    assert report.growth_mb < MAX_GROWTH_MB, str(report)
