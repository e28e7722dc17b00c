"""A sweep runs by the monotonic clock, whatever arq's cron and the wall clock do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from pipeline_engine import sweeper
from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.sweeper import Sweeper
from pipeline_engine.wake_up import WakeUp
from pipeline_engine.workers.sweep import Sweep
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually


async def silence(_wake_up: WakeUp) -> None:
    """The cron of a daemon whose clock went back."""


async def chatter(wake_up: WakeUp) -> None:
    """The change stream of a busy place."""
    while True:
        wake_up("a stage")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("wakes", [silence, chatter])
@pytest.mark.parametrize("alone", [True, False])
async def test_everything_is_looked_at_by_the_interval(
    monkeypatch: pytest.MonkeyPatch, app: EngineApp, wakes: Any, alone: bool
) -> None:
    monkeypatch.setattr(sweeper, "DEBOUNCE_SECONDS", 0.01)
    monkeypatch.setattr(sweeper, "CRON_SLACK_SECONDS", 0.1, raising=False)
    looks: list[str] = []

    async def find(_app: App[Any]) -> Sequence[Unit]:
        looks.append("everywhere")
        return []

    async def find_due_in(_app: App[Any], _places: Collection[Any]) -> Sequence[Unit]:
        looks.append("in places")
        return []

    async def outcomes(_app: App[Any], _ids: Sequence[str]) -> dict[str, str]:
        return {}

    sweep = Sweep[Any]("toys", lambda _settings: 0.2, find, outcomes, find_due_in=find_due_in)
    wake_up = WakeUp()
    tasks = [asyncio.create_task(Sweeper(sweep, app, wake_up, alone).run()), asyncio.create_task(wakes(wake_up))]

    await eventually(lambda: looks.count("everywhere") >= 4, "four looks at everything", 10)

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ("in places" in looks) == (wakes is chatter)
