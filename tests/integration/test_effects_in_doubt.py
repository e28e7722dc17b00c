"""A run that ends in the middle leaves no more sends in doubt than it had calls under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Deal, SendMessage
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.jobs import PLACES
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.domain.messages.message import Deliver, Recorded
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World

SENT = 20


@pytest.mark.covers("DA-X5")
async def test_an_abandoned_run_leaves_at_most_its_places_in_doubt(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, in_doubt = [], []

    async def deliver(key: str, recorded: Recorded) -> str:
        await recorded()
        calls.append(key)
        in_doubt.append(world.db["effects"].count_documents({"state": "sending"}))
        if len(calls) > SENT:
            await asyncio.Event().wait()
        return "an id"

    async def compose(_app: App, _automation: Automation, deals: Sequence[Deal]) -> list[Deliver | Exception]:
        return [deliver for _ in deals]

    monkeypatch.setitem(ACTIONS, "email", SendMessage("email", compose))
    automation, places = world.automation("email"), PLACES["email"]
    for _ in range(3 * SENT):
        world.deal()
    await app.heartbeat.beat()

    running = asyncio.create_task(run_slice(app, None, automation))
    await eventually(lambda: len(calls) == SENT + places, "every place is in a call", 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert max(in_doubt) <= places
    states = [one["state"] for one in world.db["effects"].find()]
    assert (states.count("sent"), states.count("sending")) == (SENT, places)
