"""Drills on the shared servers, and the figures they bring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import SHORT
from tests.support.drills.automations.plan import AutomationDrill, AutomationPlan
from tests.support.drills.clones.plan import CloneDrill, ClonePlan
from tests.support.drills.drill import Drill
from tests.support.drills.imports.plan import ImportDrill, ImportPlan

FIGURE = "figure"


@pytest.fixture
def environment(servers: dict[str, str], mongo_url: str, redis_prefix: str) -> dict[str, str]:
    """The settings of daemons with a database and Redis keys of their own."""
    secret = "a secret of thirty-two bytes or more"
    return {**servers, **SHORT, "MONGO_URL": mongo_url, "REDIS_PREFIX": redis_prefix, "APP_SECRET": secret}


@pytest.fixture
async def drill(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[ImportDrill]:
    async with Drill(ImportPlan(), environment, tmp_path) as drill:
        yield drill


@pytest.fixture
async def automation_drill(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[AutomationDrill]:
    async with Drill(AutomationPlan(), environment, tmp_path) as drill:
        yield drill


@pytest.fixture
async def clone_drill(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[CloneDrill]:
    async with Drill(ClonePlan(), environment, tmp_path) as drill:
        yield drill


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What a run measured; printed at the end of the test session, for docs/reliability.md."""
    lines: list[str] = []
    yield lines
    request.node.user_properties.extend((FIGURE, line) for line in lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for several in terminalreporter.stats.values() for one in several]
    ended = [one for one in reports if isinstance(one, pytest.TestReport) and one.when == "teardown"]
    figures = [f"{one.nodeid}: {line}" for one in ended for name, line in one.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("figures")
    for line in figures:
        terminalreporter.line(line)
