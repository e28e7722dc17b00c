"""`demo`: real servers, sample data, one pass through every system, a summary. Nothing is left behind.

demo_run.py     settings, screen, sinks          sample_crm.py     an account, and a CSV file of its deals
deal_import.py  the file becomes deals           automations.py    what happens to the deals of one stage
funnel_clone.py a funnel with pages, pictures and a form is cloned
lead_pipeline.py  leads get a mail, and go on with or without a reply
crm_events.py   new contacts get scores and owners, and go through a workflow
crm_jobs.py     intent fades, contacts move on, and lost ones are taken up again
mailbox_sync.py  mails in a mailbox are read, and each has an effect    sample_mails.py  these mails
mail_sequence.py  contacts get a mail, and another one unless they reply
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from pipeline_engine import workers
from pipeline_engine.cli import session
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.cli.demo.sample_crm import SampleCrm
from pipeline_engine.cli.screen import Screen
from pipeline_engine.embedded import EmbeddedServers
from pipeline_engine.embedded.parts import PARTS


def command(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the servers' data, and print the folder.")] = False,
) -> None:
    """Show every system once, on servers of its own. Starts real servers, inserts sample data and prints a summary."""
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="pipeline-engine-demo-")) if keep else None
    started = time.monotonic()
    with EmbeddedServers(folder, tuple(PARTS)) as servers:
        screen.line(f"MongoDB, Redis, S3, Socket.IO, SMTP and IMAP are up after {time.monotonic() - started:.1f} s")
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
    urls = [environment[name] for name in ("SOCKET_SINK_URL", "SMTP_SINK_URL", "IMAP_URL")]
    demo = DemoRun(settings, screen, SampleCrm(), *urls)
    await demo.set_up()
    # A later system works on what the earlier ones left.
    parts = [system for system in workers.SYSTEMS if system.demo]
    return {system.name.capitalize(): await import_module(system.demo).run(demo) for system in parts}
