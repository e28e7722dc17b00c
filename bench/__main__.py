"""`python -m bench [--write]`: every figure of docs/benchmarks.md, measured in one run on servers of its own.

Names of parts (`leads lead_sweeps`) measure only these; `--large` measures a million leads as well, for half an hour.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    automations,
    events,
    funnels,
    imports,
    jobs,
    lanes,
    lead_sweeps,
    leads,
    mailboxes,
    rewriting,
    sequences,
)
from bench.row import HEAD, Row
from pipeline_engine.embedded import EmbeddedServers

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


PARTS: dict[str, Callable[[Mapping[str, str]], list[Row]]] = {
    "lanes": lambda servers: asyncio.run(lanes.run(servers["REDIS_URL"])),
    "imports": imports.run,
    "automations": automations.run,
    "rewriting": lambda _servers: rewriting.run(),
    "funnels": funnels.run,
    "leads": leads.run,
    "lead_sweeps": lead_sweeps.run,
    "events": events.run,
    "jobs": jobs.run,
    "mailboxes": mailboxes.run,
    "sequences": sequences.run,
}


def main() -> None:
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")] or list(PARTS)
    with EmbeddedServers() as servers:
        rows = [row for name in wanted for row in PARTS[name](servers.environment())]
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
