"""Deals that fail, and calls that leave the process; the provider is a function of the test."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import clock
from pipeline_engine.domain.automations.action import SendMessage
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.errors import Permanent, RateLimited, Transient, Unknown
from pipeline_engine.lanes import Done, Snooze
from pipeline_engine.repos.effects import Begin, End
from pipeline_engine.settings import Settings
from tests.integration.test_automations_logs import open_log
from tests.support.automations import automation_of, deal_of, due, logs_of, run, work_off
from tests.support.engine_app import EngineApp, open_app
from tests.support.provider import Provider
from tests.support.world import World


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    provider = Provider()
    monkeypatch.setitem(ACTIONS, "email", SendMessage("email", provider.compose, fields=("name",)))
    monkeypatch.setitem(ACTIONS, "sms", SendMessage("sms", provider.compose, fields=("name",)))
    return provider


def effect_of(world: World, automation: ObjectId, deal: ObjectId, generation: int = 0) -> dict[str, Any]:
    found = world.db["effects"].find_one({"_id": f"{automation}:{deal}:{generation}"})
    assert found
    return found


@pytest.fixture
def stopped_clock(app: EngineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's time goes on only where `run` moves it, so that a busy machine takes nothing from a rest."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=partial(float, time.monotonic())))


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.covers("DA-14", "DA-16", "DA-20", "DA-X6")
async def test_a_transient_failure_has_three_attempts_four_seconds_apart(
    world: World, app: EngineApp, provider: Provider
) -> None:
    automation = world.automation("email")
    bad, late, good = world.deal(name="bad"), world.deal(name="late"), world.deal()
    provider.fail("bad", *[Transient("451 come back")] * 9)
    provider.fail("late", Transient("451 come back"))

    rests = await run(app, automation)

    assert [round(rest) for rest in rests] == [4, 4]
    keys = [key.split(":")[1] for key in provider.calls]
    assert {deal: keys.count(str(deal)) for deal in (bad, late, good)} == {bad: 3, late: 2, good: 1}
    assert deal_of(world, bad)["automation_failed"] == [automation]
    assert deal_of(world, late)["automation_triggered"] == [automation]
    assert effect_of(world, automation, bad)["state"] == "failed"
    assert [entry["deal"] for log in logs_of(world, automation) for entry in log["success"]] == [good, late]
    (failed,) = (entry for log in logs_of(world, automation) for entry in log["failed"])
    assert (failed["deal"], failed["message"]) == (bad, "451 come back")
    (unit,) = world.db["automation_units"].find()
    assert (unit["deal_id"], unit["state"], unit["attempts"]) == (bad, "parked", 3)
    assert await due(app) == set()


@pytest.mark.covers("DA-16", "DA-X6")
async def test_a_permanent_failure_has_one_attempt(world: World, app: EngineApp, provider: Provider) -> None:
    automation = world.automation("email")
    deal = world.deal(name="bad")
    provider.fail("bad", Permanent("550 no such user"))

    assert await run(app, automation) == []

    assert len(provider.calls) == 1
    assert logs_of(world, automation)[0]["failed"] == [{"deal": deal, "message": "550 no such user"}]
    assert await due(app) == set()


@pytest.mark.covers("DA-X7")
async def test_a_failed_deal_that_is_flagged_is_sent_once_more_as_a_new_unit(
    world: World, listening: EngineApp, provider: Provider
) -> None:
    automation = world.automation("email")
    deal = world.deal(name="bad", automation_starts=automation_of(world, automation)["createdAt"])
    provider.fail("bad", Permanent("550 no such user"))
    await work_off(listening)
    world.deal()
    await work_off(listening)  # by now the watermark has gone past the deal
    assert automation_of(world, automation)["watermark"]["settled_until"] > deal_of(world, deal)["automation_starts"]

    world.db["deals"].update_one({"_id": deal}, {"$set": {"retry_automations": [automation]}})
    assert await work_off(listening) == {automation}

    changed = deal_of(world, deal)
    assert (changed["automation_triggered"], changed["automation_failed"]) == ([automation], [])
    assert (changed["retry_automations"], changed["automation_generation"]) == ([], {str(automation): 1})
    assert effect_of(world, automation, deal, 1)["state"] == "sent"
    assert world.db["automation_units"].count_documents({}) == 0
    assert await due(listening) == set()


@pytest.mark.covers("DA-X7")
async def test_a_flag_overrides_skip_and_gives_a_second_note(world: World, app: EngineApp) -> None:
    automation = world.automation("note", note="x")
    deal, skipped = world.deal(), world.deal(skip_automations=[ObjectId()])
    world.db["deals"].update_one({"_id": skipped}, {"$push": {"skip_automations": automation}})
    await work_off(app)
    world.db["deals"].update_many({}, {"$set": {"retry_automations": [automation]}})

    await work_off(app)

    assert world.db["notes"].count_documents({"deal_id": deal}) == 2
    assert world.db["notes"].count_documents({"deal_id": skipped}) == 1
    assert automation not in deal_of(world, skipped)["skip_automations"]
    assert await due(app) == set()


@pytest.mark.covers("DA-X5")
@pytest.mark.parametrize(("type", "calls", "state"), [("email", 2, "sent"), ("sms", 1, "unknown")])
async def test_when_the_end_is_unknown_the_channel_decides(
    world: World, app: EngineApp, provider: Provider, type: str, calls: int, state: str
) -> None:
    automation = world.automation(type)
    deal = world.deal(name="cut")
    provider.fail("cut", Unknown("broken off after DATA"))

    await run(app, automation)

    assert len(provider.calls) == calls
    assert len(set(provider.calls)) == 1  # the same key to the provider each time
    effect = effect_of(world, automation, deal)
    assert (effect["state"], effect["ambiguous"], effect["attempts"]) == (state, True, calls)
    mark = "automation_triggered" if state == "sent" else "automation_failed"
    assert deal_of(world, deal)[mark] == [automation]


@pytest.mark.covers("DA-X5")
async def test_calls_are_counted_over_crashes(world: World, app: EngineApp, provider: Provider) -> None:
    automation = world.automation("email")
    deal = world.deal(name="cut")
    provider.fail("cut", *[Unknown("nothing came back")] * 9)
    # A process ended in the middle of a call.
    key = f"{automation}:{deal}:0"
    assert await app.shared.effects.write(world.account, [Begin(key, "email")]) == [True]

    await run(app, automation)

    assert len(provider.calls) == 1
    effect = effect_of(world, automation, deal)
    assert (effect["attempts"], effect["ambiguous"], effect["state"]) == (2, True, "unknown")
    assert deal_of(world, deal)["automation_failed"] == [automation]


@pytest.mark.covers("DA-X5")
async def test_what_was_sent_is_not_sent_again_when_only_the_mark_was_lost(
    world: World, app: EngineApp, provider: Provider
) -> None:
    automation = world.automation("email")
    stays, leaves, unsure = world.deal(), world.deal(), world.deal()
    for deal, state in ((stays, "sent"), (leaves, "sent"), (unsure, "sending")):
        key = f"{automation}:{deal}:0"
        end = [End(key, 1, {"state": "sent", "provider_id": "x"})] if state == "sent" else []
        await app.shared.effects.write(world.account, [Begin(key, "email"), *end])
    await open_log(world, app, automation, stays, leaves, unsure)
    world.db["deals"].update_many({"_id": {"$in": [leaves, unsure]}}, {"$set": {"stage_id": ObjectId()}})

    await run(app, automation)

    assert provider.calls == []
    assert all(deal_of(world, deal)["automation_triggered"] == [automation] for deal in (stays, leaves))
    assert [entry["deal"] for entry in logs_of(world, automation)[0]["success"]] == [stays, leaves]
    assert effect_of(world, automation, unsure)["state"] == "unknown"


async def test_an_old_holder_does_not_overwrite_a_later_attempt(world: World, app: EngineApp) -> None:
    automation, deal = ObjectId(), ObjectId()
    key = f"{automation}:{deal}:0"
    again = Begin(key, "email", {"state": "sending", "attempts": 1})
    assert await app.shared.effects.write(world.account, [Begin(key, "email"), again]) == [True, True]

    await app.shared.effects.write(world.account, [End(key, 1, {"state": "planned", "attempts": 0})])

    effect = effect_of(world, automation, deal)
    assert (effect["state"], effect["attempts"]) == ("sending", 2)


@pytest.mark.covers("DA-16")
async def test_a_fault_of_ours_in_one_call_does_not_stop_the_rest(
    world: World, app: EngineApp, provider: Provider
) -> None:
    automation = world.automation("sms")
    bad, *good = world.deal(name="bad"), world.deal(), world.deal()
    provider.fail("bad", KeyError("not foreseen"))

    await run(app, automation)

    assert all(deal_of(world, deal)["automation_triggered"] == [automation] for deal in good)
    assert (effect_of(world, automation, bad)["state"], len(provider.calls)) == ("unknown", 3)


async def test_a_limit_burns_no_attempt_and_gives_the_place_back(
    world: World, app: EngineApp, provider: Provider
) -> None:
    automation = world.automation("sms")
    deals = [world.deal(name=f"{n}") for n in range(45)]
    provider.fail("0", RateLimited(30.0))

    outcome = await run_slice(app, None, automation)

    assert outcome == Done()  # the sweep brings it again
    assert len(provider.calls) <= 5  # those under way at the time; no further call is made
    rests = automation_of(world, automation)
    assert timedelta(seconds=20) < rests["next_at"] - app.clock.now() <= timedelta(seconds=30)
    assert (rests["is_running"], rests["run"]["told"]) == (False, True)
    assert await due(app) == set()
    assert effect_of(world, automation, deals[0])["attempts"] == 0
    world.db["automations"].update_one({"_id": automation}, {"$set": {"next_at": None}})
    await run(app, automation)
    assert all(deal_of(world, deal)["automation_triggered"] == [automation] for deal in deals)
    assert world.db["automation_units"].count_documents({}) == 0
    assert effect_of(world, automation, deals[0])["attempts"] == 1


async def test_sending_stops_when_the_slice_is_over(world: World, configured: Settings, provider: Provider) -> None:
    automation = world.automation("email")
    for _ in range(45):
        world.deal()

    async with open_app(configured.model_copy(update={"automation_slice_seconds": 0.001})) as hurried:
        assert await run_slice(hurried, None, automation) == Snooze()
        assert len(provider.calls) == 5
        await run(hurried, automation)

    assert len(provider.calls) == 45 == len(set(provider.calls))
    assert [len(log["deals"]) for log in logs_of(world, automation)] == [5] * 9


async def test_what_waits_for_another_attempt_does_not_hold_up_new_deals(
    world: World, app: EngineApp, provider: Provider
) -> None:
    automation = world.automation("email")
    world.deal(name="bad")
    provider.fail("bad", *[Transient("451 come back")] * 9)
    assert await run_slice(app, None, automation) is not None
    new = world.deal()

    assert await due(app) == {automation}
    assert isinstance(await run_slice(app, None, automation), Snooze)

    assert deal_of(world, new)["automation_triggered"] == [automation]
    assert len(provider.calls) == 2


async def test_a_unit_whose_deal_has_gone_is_forgotten(world: World, app: EngineApp, provider: Provider) -> None:
    automation = world.automation("email")
    deal = world.deal(name="bad")
    provider.fail("bad", Transient("451 come back"))
    await run_slice(app, None, automation)
    world.db["deals"].update_one({"_id": deal}, {"$set": {"stage_id": ObjectId()}})
    app.clock.set(app.clock.now() + timedelta(seconds=5))

    await run(app, automation)

    assert world.db["automation_units"].count_documents({}) == 0
    assert automation_of(world, automation)["run"] is None
