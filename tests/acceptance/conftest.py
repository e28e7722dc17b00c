"""The engine from outside: commands in, exit codes and text out; and the production daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.command_line import InProcess, Subprocess
from tests.support.daemon import Daemon
from tests.support.eventually import eventually

Start = Callable[..., Awaitable[Daemon]]


@pytest.fixture
def engine(environment: dict[str, str], tmp_path: Path) -> Subprocess:
    """The command line with a database and Redis keys of its own."""
    return Subprocess(environment, tmp_path)


@pytest.fixture
def inside(environment: dict[str, str], tmp_path: Path) -> InProcess:
    """The same command line without a process of its own, for what need not pass through one once more."""
    return InProcess(environment, tmp_path)


@pytest.fixture
async def start(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a daemon and waits until it is up; keywords are settings."""
    started: list[Daemon] = []

    async def begin(**settings: str) -> Daemon:
        daemon = Daemon({**environment, **settings}, tmp_path, f"daemon-{len(started)}", cold=True)
        started.append(daemon)
        await eventually(lambda: daemon.ready, "the daemon is up", 30, daemon)
        return daemon

    try:
        yield begin
    finally:
        for daemon in started:
            daemon.kill()
