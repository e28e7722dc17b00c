"""An automation is paused for crashes only when its runs get nothing done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.domain.claimed import MAX_SHARED_CRASHES
from pipeline_engine.domain.messages.message import Recorded
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.repos.derived_documents import DerivedDocuments
from tests.support.automations import automation_of, run
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World

KILLS = MAX_SHARED_CRASHES + 3


@pytest.fixture
async def kill(world: World, app: EngineApp) -> Callable[[ObjectId, asyncio.Event], Awaitable[None]]:
    """Runs an automation until the event comes, and ends that run as if its process had died."""

    async def kill(automation: ObjectId, reached: asyncio.Event) -> None:
        await app.heartbeat.beat()
        reached.clear()
        running = asyncio.create_task(run_slice(app, None, automation))
        await eventually(lambda: reached.is_set() or running.done(), "the run is in the middle", 20)
        assert not running.done(), running
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        world.abandon("automations", automation)

    return kill


async def test_runs_that_send_before_they_die_do_not_count(
    world: World, app: EngineApp, kill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, sent, most = asyncio.Event(), 0, 24.0

    async def send(mail: Mail, key: str, ready: Recorded) -> str | None:
        nonlocal sent
        await ready()
        if sent >= most:
            reached.set()
            await asyncio.Event().wait()
        sent += 1
        return None

    monkeypatch.setattr(app.senders.mailer, "send", send)
    template = world.db["email_templates"].insert_one({"account_id": world.account, "subject": "x", "text": "Hi"})
    automation = world.automation("email", email_template_id=template.inserted_id)
    deals = [world.deal() for _ in range(KILLS * 36 + 40)]

    for _ in range(KILLS):
        await kill(automation, reached)
        most += 24
    most = float("inf")
    await run(app, automation)

    found = automation_of(world, automation)
    assert (found.get("paused_until"), found["crashes"]) == (None, 0)
    marks = [{"automation_triggered": automation}, {"automation_failed": automation}]  # a mail in doubt twice fails
    assert world.db["deals"].count_documents({"$or": marks}) == len(deals)


async def test_runs_that_write_before_they_die_do_not_count(
    world: World, app: EngineApp, kill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, insert = asyncio.Event(), DerivedDocuments.insert

    async def insert_some(self: DerivedDocuments, documents: Any) -> Any:
        await insert(self, documents[:3])
        reached.set()
        await asyncio.Event().wait()

    automation = world.automation("note", note="x")
    deals = [world.deal() for _ in range(KILLS * 3 + 5)]
    with monkeypatch.context() as patched:
        patched.setattr(DerivedDocuments, "insert", insert_some)
        for _ in range(KILLS):
            await kill(automation, reached)
    await run(app, automation)

    assert automation_of(world, automation).get("paused_until") is None
    assert world.db["notes"].count_documents({}) == len(deals)


async def test_runs_that_die_before_anything_is_done_count(
    world: World, app: EngineApp, kill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    async def hang(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(DerivedDocuments, "insert", hang)
    automation = world.automation("note", note="x")
    world.deal()
    for _ in range(MAX_SHARED_CRASHES):
        await kill(automation, reached)
    await run(app, automation)

    assert (
        automation_of(world, automation)["paused_reason"] == f"{MAX_SHARED_CRASHES} runs in a row ended in the middle"
    )
