"""`explain automation`: what it answers for deals in every situation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.automation import read_automation
from pipeline_engine.domain.automations.explain import AutomationExplanation, explain
from pipeline_engine.errors import Permanent
from tests.support.engine_app import EngineApp
from tests.support.world import World

HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    """The time of the test; parameters and constants of the module are made too early."""
    return datetime.now(UTC).replace(microsecond=0)


def failing(found: AutomationExplanation) -> list[str]:
    return [condition.name for condition in found.conditions if condition.passed is False]


async def test_a_deal_that_is_due_fires_at_the_next_look(app: EngineApp, world: World) -> None:
    found = await explain(app, world.automation("add_tag", tag=ObjectId()), world.deal())
    assert (found.next.what, failing(found), found.history) == ("fires", [], [])
    assert found.next.at is not None
    assert abs(found.next.at - app.clock.now()) < timedelta(minutes=1)


async def test_a_deal_whose_delay_runs_fires_when_it_is_over(app: EngineApp, world: World, now: datetime) -> None:
    automation = world.automation("add_tag", tag=ObjectId(), delay=3600)
    entered = now - timedelta(minutes=10)
    found = await explain(app, automation, world.deal(automation_starts=entered))
    assert failing(found) == ["delay is over"]
    assert (found.next.what, found.next.at) == ("fires", entered + HOUR)


async def test_a_deal_that_will_not_fire_and_why(app: EngineApp, world: World, now: datetime) -> None:
    automation = world.automation("add_tag", tag=ObjectId())
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"automation_triggered": [automation]}, "not in automation_triggered", "it has fired"),
        ({"automation_failed": [automation]}, "not in automation_failed", "it failed for good"),
        ({"skip_automations": [automation]}, "not in skip_automations", "to be skipped"),
        ({"stage_id": ObjectId()}, "stage is the automation's", "another stage"),
        ({"account_id": ObjectId()}, "account is the automation's", "another account"),
        ({"automation_starts": None}, "automation_starts is a time", "no time of entry"),
        ({"automation_starts": now - timedelta(days=2)}, "entered since", "before the automation was made"),
    ]
    for deal, fails, why in cases:
        found = await explain(app, automation, world.deal(**deal))
        (failed,) = failing(found)
        assert failed.startswith(fails), deal
        assert (found.next.what, found.next.at) == ("never", None), deal
        assert why in found.next.why, deal


async def test_nothing_is_shown_of_a_deal_of_another_account(app: EngineApp, world: World) -> None:
    deal = world.deal(account_id=ObjectId(), stage_id=(stage := ObjectId()))
    found = await explain(app, world.automation("add_tag", tag=ObjectId()), deal)
    assert str(stage) not in repr(found)


async def test_a_flag_overrides_what_was_settled(app: EngineApp, world: World) -> None:
    automation = world.automation("add_tag", tag=ObjectId())
    deal = world.deal(automation_triggered=[automation], skip_automations=[automation], retry_automations=[automation])
    found = await explain(app, automation, deal)
    assert (found.next.what, failing(found)) == ("fires", [])
    assert {"not in automation_triggered", "not in skip_automations"} <= {
        one.name for one in found.conditions if one.passed is None
    }


async def test_another_entry_counts_only_where_the_automation_says_so(
    app: EngineApp, world: World, now: datetime
) -> None:
    automation = world.automation("add_tag", tag=ObjectId(), reentry="per_entry")
    earlier = {str(automation): {"entry": now - HOUR}}
    again = world.deal(automation_triggered=[automation], automation_generation=earlier)
    assert (await explain(app, automation, again)).next.what == "fires"
    world.db["automations"].update_one({"_id": automation}, {"$set": {"reentry": "once"}})
    assert (await explain(app, automation, again)).next.what == "never"


async def test_what_keeps_the_automation_itself(app: EngineApp, world: World, now: datetime) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"status": "INACTIVE"}, "waits", "switch the automation on"),
        ({"module": "LEAD"}, "never", "LEAD"),
        ({"type": "fax"}, "never", "fax"),
        ({"delay": "soon"}, "waits", "delay must be a number"),
        ({"paused_until": now + HOUR, "paused_reason": "3 of 4 effects failed"}, "fires", "3 of 4 effects failed"),
        ({"next_at": now + HOUR}, "fires", "a limit"),
        ({"lease_until": now + HOUR, "lease_owner": "host:1:aa"}, "fires", "host:1:aa"),
        ({"is_running": True, "updatedAt": now + HOUR}, "waits", "another engine"),
        ({"createdAt": now + HOUR}, "never", "before the automation was made"),
    ]
    deal = world.deal()
    for automation, what, why in cases:
        found = await explain(app, world.automation(**{"type": "add_tag", **automation}), deal)
        assert found.next.what == what, automation
        assert why in found.next.why, automation


async def test_an_account_that_is_not_active(app: EngineApp, world: World) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})
    found = await explain(app, world.automation("add_tag", tag=ObjectId()), world.deal())
    assert (found.next.what, failing(found)) == ("waits", ["account is active"])


async def test_what_moves_the_deal_waits_for_the_others(app: EngineApp, world: World) -> None:
    mover = world.automation("stage", target_stage_id=ObjectId())
    note = world.automation("note", note="first")
    deal = world.deal()

    waiting = await explain(app, mover, deal)
    world.db["deals"].update_one({"_id": deal}, {"$set": {"automation_triggered": [note]}})
    free = await explain(app, mover, deal)

    assert (waiting.next.what, free.next.what) == ("waits", "fires")
    assert str(note) in waiting.next.why


async def test_a_deal_that_counts_as_settled_is_seen_at_the_next_full_look(
    app: EngineApp, world: World, now: datetime
) -> None:
    automation = world.automation("add_tag", tag=ObjectId())
    document = await app.repos.automations.get(automation)
    assert document is not None
    looked_at = now - timedelta(minutes=20)
    shape = read_automation(document).shape
    mark = {"shape": shape, "settled_until": now + HOUR, "looked_at": looked_at}
    world.db["automations"].update_one({"_id": automation}, {"$set": {"watermark": mark}})

    found = await explain(app, automation, world.deal())

    assert (found.next.what, found.next.at) == ("fires", looked_at + HOUR)


async def test_history_of_a_deal_that_is_to_be_tried_again(app: EngineApp, world: World, now: datetime) -> None:
    automation, deal = world.automation("email", email_template_id=ObjectId()), world.deal()
    unit, at = f"{automation}:{deal}:0", now
    own = {"account_id": world.account, "automation_id": automation, "deal_id": deal}
    retry = {"state": "pending", "attempts": 2, "next_at": at + HOUR, "last_error": "451 from ann@example.com"}
    world.db["automation_units"].insert_one({"_id": unit, **own, **retry, "updatedAt": at - 2 * HOUR})
    steps = [{"state": "sending", "at": at - 4 * HOUR}, {"state": "unknown", "at": at - 3 * HOUR}]
    sent = {"channel": "email", "state": "unknown", "attempts": 2, "ambiguous": True, "history": steps}
    world.db["effects"].insert_one({"_id": unit, "account_id": world.account, **sent})
    log = {"account_id": world.account, "automation": automation, "deals": [ObjectId(), deal], "createdAt": at - HOUR}
    others = [{"deal": ObjectId(), "message": "not this one"}, {"deal": deal, "message": "no address"}]
    world.db["automation_logs"].insert_one({**log, "success": [], "failed": others})
    # What was written about others is not shown.
    foreign = {**own, **retry, "_id": f"{automation}:{ObjectId()}:0", "deal_id": ObjectId(), "updatedAt": at}
    world.db["automation_units"].insert_one(foreign)

    found = await explain(app, automation, deal)

    history = [(one.source, one.state, one.attempts, one.ambiguous) for one in found.history]
    assert history == [
        ("effect", "sending", None, False),
        ("effect", "unknown", 2, True),
        ("unit", "pending", 2, False),
        ("log", "failed", None, False),
    ]
    assert "no address" in found.history[-1].detail
    assert "ann@" not in repr(found.history)


async def test_an_attempt_that_failed_comes_again_at_its_time(app: EngineApp, world: World, now: datetime) -> None:
    automation, deal = world.automation("note", note="hello"), world.deal()
    at = now + HOUR
    own = {"account_id": world.account, "automation_id": automation, "deal_id": deal, "updatedAt": now}
    retry = {"state": "pending", "attempts": 1, "next_at": at, "last_error": "451"}
    world.db["automation_units"].insert_one({"_id": f"{automation}:{deal}:0", **own, **retry})

    found = await explain(app, automation, deal)

    assert (found.next.what, found.next.at, found.next.why) == ("retries", at, "attempt 1 failed: 451")


async def test_what_does_not_exist_is_named(app: EngineApp, world: World) -> None:
    automation, missing = world.automation("add_tag", tag=ObjectId()), ObjectId()
    with pytest.raises(Permanent, match=f"no deal {missing}"):
        await explain(app, automation, missing)
    with pytest.raises(Permanent, match=f"no automation {missing}"):
        await explain(app, missing, world.deal())
