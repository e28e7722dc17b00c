"""`demo`: real servers, sample data, one pass through every system, a summary. Nothing is left behind.

stage.py        what a step has at hand             sample_crm.py   an account to work for
deal_import.py  a file becomes deals                 sample_deals.py its file
automations.py  what happens to them in a stage
funnel_clone.py a funnel with pages, pictures and a form is copied
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from pipeline_engine.cli import session
from pipeline_engine.cli.demo import automations, deal_import, funnel_clone
from pipeline_engine.cli.demo.sample_crm import SampleCrm
from pipeline_engine.cli.demo.stage import Facts, Stage
from pipeline_engine.cli.screen import Screen
from pipeline_engine.embedded import EmbeddedServers

# One row per system, in the order in which they depend on each other.
STEPS: Mapping[str, Callable[[Stage], Awaitable[Facts]]] = {
    "Deal import": deal_import.run,
    "Deal automations": automations.run,
    "Funnel clone": funnel_clone.run,
}


def command(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the servers' data, and say where.")] = False,
) -> None:
    """Real servers, sample data, one pass through everything, a summary."""
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="pipeline-engine-demo-")) if keep else None
    started = time.monotonic()
    with EmbeddedServers(folder) as servers:
        screen.line(f"MongoDB, Redis, S3, Socket.IO and SMTP are up after {time.monotonic() - started:.1f} s")
        summary = asyncio.run(_perform(servers.environment(), screen))
    for title, facts in summary.items():
        screen.line()
        screen.line(title, style="bold")
        screen.facts(facts)
    if folder:
        screen.line(f"The servers' data are kept in {folder}")


async def _perform(environment: Mapping[str, str], screen: Screen) -> dict[str, Facts]:
    given = {name.lower(): value for name, value in environment.items()}
    settings = session.configured(**given, app_secret=secrets.token_urlsafe(32), log_level="ERROR")
    stage = Stage(settings, screen, SampleCrm(), environment["SOCKET_SINK_URL"], environment["SMTP_SINK_URL"])
    await stage.set_up()
    return {title: await step(stage) for title, step in STEPS.items()}
