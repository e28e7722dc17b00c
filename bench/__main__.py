"""`python -m bench [--write]`: every figure of docs/benchmarks.md, measured in one run on servers of its own."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import automations, funnels, imports, jobs, lanes, rewriting
from bench.row import HEAD, Row
from pipeline_engine.embedded import EmbeddedServers

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main() -> None:
    with EmbeddedServers() as servers:
        environment = servers.environment()
        rows = [
            *asyncio.run(lanes.run(environment["REDIS_URL"])),
            *imports.run(environment),
            *automations.run(environment),
            *rewriting.run(),
            *funnels.run(environment),
            *jobs.run(environment),
        ]
    page = _page(rows)
    print(page)
    if "--write" in sys.argv:
        PAGE.write_text(page)


def _page(rows: list[Row]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {platform.system()}"
    table = "\n".join([HEAD, *(row.markdown() for row in rows)])
    return (
        "# Benchmarks\n\n"
        "Ratios against a floor or a peer that was measured in the same run, on the same servers; absolute figures are "
        "of a small shared machine and say little by themselves. The servers run on the same cores.\n\n"
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine}, by `make bench`; load average at its end "
        f"{os.getloadavg()[1]:.0f}.\n\n{table}\n"
    )


if __name__ == "__main__":
    main()
