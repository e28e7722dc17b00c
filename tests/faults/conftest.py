"""Drills on the shared servers, and the figures they bring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.automation_drill import AutomationDrill
from tests.faults.clone_drill import CloneDrill
from tests.faults.drill import Drill
from tests.support.daemon import SHORT
from tests.support.outside import Outside

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def environment(servers: dict[str, str], mongo_url: str, redis_prefix: str) -> dict[str, str]:
    """The settings of daemons with a database and Redis keys of their own."""
    secret = "a secret of thirty-two bytes or more"
    return {**servers, **SHORT, "MONGO_URL": mongo_url, "REDIS_PREFIX": redis_prefix, "APP_SECRET": secret}


@pytest.fixture
def drill(environment: dict[str, str], key_prefix: str, tmp_path: Path) -> Iterator[Drill]:
    with Drill(environment, key_prefix, tmp_path) as drill:
        yield drill


@pytest.fixture
async def outside(environment: dict[str, str]) -> AsyncIterator[Outside]:
    async with Outside(environment["APP_SECRET"]) as outside:
        yield outside


@pytest.fixture
async def automation_drill(
    environment: dict[str, str], outside: Outside, tmp_path: Path
) -> AsyncIterator[AutomationDrill]:
    with AutomationDrill(environment, tmp_path, outside) as drill:
        yield drill


@pytest.fixture
def clone_drill(environment: dict[str, str], tmp_path: Path) -> Iterator[CloneDrill]:
    with CloneDrill(environment, tmp_path) as drill:
        yield drill


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What a run measured; printed at the end of the test session, for docs/reliability.md."""
    lines: list[str] = []
    yield lines
    request.config.stash.setdefault(FIGURES, []).extend(f"{request.node.name}: {line}" for line in lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("figures")
    for line in figures:
        terminalreporter.line(line)
