"""`dev`: the daemon as in production, on embedded servers that end with this command."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import typer

from pipeline_engine import logs, settings
from pipeline_engine.app import open_mongo
from pipeline_engine.cli.demo.sample_crm import SampleCrm, sample_deals
from pipeline_engine.cli.screen import Screen
from pipeline_engine.embedded import EmbeddedServers
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.embedded.program import leashed

STOP_TIMEOUT = 30.0
"""Seconds that the daemon gets to end; it takes 25 at most."""
DAEMON = [sys.executable, "-m", "arq", "pipeline_engine.WorkerSettings"]


def command() -> None:
    """Run the daemon on embedded servers, until Ctrl-C. A server that the environment names is used instead."""
    # SIGTERM and SIGINT stop everything in order, also in the background, where a shell has its jobs ignore SIGINT.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.default_int_handler)
    with EmbeddedServers(given=os.environ) as servers:
        secret = {"APP_SECRET": secrets.token_urlsafe(32)}
        environment = {**secret, **_http(), **_kept(os.environ), **servers.environment()}
        _show_settings(environment, servers.folder)
        code = _run(environment)
    raise typer.Exit(code)


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name in ("APP_SECRET", "HTTP_PORT") and value}


def _http() -> dict[str, str]:
    return {"HTTP_ENABLED": "true", "QM_HOOKS": "true", "HTTP_PORT": str(free_ports(1)[0])}


def _show_settings(environment: Mapping[str, str], folder: Path) -> None:
    crm, screen = SampleCrm(), Screen()
    asyncio.run(_insert(environment, crm))
    deals, variables = folder / "sample-deals.csv", folder / "dev.env"
    deals.write_text(sample_deals())
    variables.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items()))
    screen.facts((name, value) for name, value in environment.items() if not logs.SECRET_NAMES.search(name))
    screen.facts([("data and logs", folder), ("health", f"http://127.0.0.1:{environment['HTTP_PORT']}/readyz")])
    screen.line()
    screen.line("A first import, from another terminal:")
    screen.line(f"  set -a; . {shlex.quote(str(variables))}; set +a")
    screen.line(f"  {_submission(crm, deals)}")
    screen.line()


async def _insert(environment: Mapping[str, str], crm: SampleCrm) -> None:
    async with AsyncExitStack() as stack:
        await crm.insert(await open_mongo(settings.from_environment(environment), stack))


def _submission(crm: SampleCrm, deals: Path) -> str:
    owner = ["--account", str(crm.account), "--user", str(crm.user), "--pipeline", str(crm.pipeline)]
    columns = [word for column, field in crm.mappings().items() for word in ("--map", f"{column}={field}")]
    return shlex.join([sys.executable, "-m", "pipeline_engine", "imports", "submit", str(deals), *owner, *columns])


def _run(environment: Mapping[str, str]) -> int:
    """The daemon's exit code, after it ended by itself or by Ctrl-C."""
    # The daemon has a session of its own: Ctrl-C in the terminal reaches this process only, which passes it on once.
    daemon = subprocess.Popen(leashed(DAEMON), env={**os.environ, **environment}, start_new_session=True)  # noqa: S603
    try:
        return daemon.wait()
    except KeyboardInterrupt:
        daemon.terminate()
        return daemon.wait(STOP_TIMEOUT)
    finally:
        daemon.kill()
