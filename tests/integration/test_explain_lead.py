"""`explain lead`: why a lead stands where it stands, and what happens next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads.explain import LeadExplanation, explain
from pipeline_engine.errors import Permanent
from tests.support.engine_app import EngineApp
from tests.support.leads import action, enter, entered, lead, reply, stage, work
from tests.support.world import World

NOTE, WAIT = action("note", note="Seen"), action("wait", seconds=3600)
BROKEN = action("owner", owner_id="me")
HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    """The time of the test; parameters and constants of the module are made too early."""
    return datetime.now(UTC).replace(microsecond=0)


def failing(found: LeadExplanation) -> list[str]:
    return [one.name for one in found.conditions if one.passed is False]


async def test_a_lead_that_waits_goes_on_when_the_wait_is_over(app: EngineApp, world: World) -> None:
    id, _ = entered(world, stage(world, NOTE, WAIT, NOTE, action("move", outcome="won")))
    await work(app, world)
    found = await explain(app, id)

    assert (found.status, found.action, found.ahead) == ("active", "2 wait", ["3 note", "4 move"])
    assert failing(found) == ["it is due"]
    assert (found.next.what, found.next.why) == ("runs", "when the wait is over")
    assert found.next.at
    assert timedelta(0) < found.next.at - datetime.now(UTC) <= HOUR
    assert [(one.source, one.state) for one in found.history] == [("entry", "entered"), ("action", "done")]


async def test_a_wait_for_a_reply_says_both_ways(app: EngineApp, world: World) -> None:
    there = stage(world)
    waits = action("wait_for_response", channel="sms", timeout_seconds=60, on_response={"move": there})
    id, _ = entered(world, stage(world, {**waits, "config": {**waits["config"], "on_timeout": "stop"}}))
    await work(app, world)
    reply(world, id, "email", auto=True)
    found = await explain(app, id)

    assert "when the lead has not replied by sms until then: the run then is completed" in found.next.why
    assert f"with a reply it moves to stage {there} at once" in found.next.why
    assert [one.state for one in found.history if one.source == "reply"] == ["automatic"]


async def test_a_run_that_failed_says_why_and_how_to_go_on(app: EngineApp, world: World) -> None:
    id, _ = entered(world, stage(world, BROKEN))
    await work(app, world)
    found = await explain(app, id)

    assert (found.status, found.next.what) == ("failed", "never")
    assert "`leads retry` or `leads skip` goes on" in found.next.why
    assert "owner_id: given 'me'" in found.next.why
    assert [(one.state) for one in found.history if one.source == "action"] == ["failed"]


async def test_a_lead_that_is_about_to_fail_says_so(app: EngineApp, world: World) -> None:
    id, run = entered(world, stage(world, WAIT))
    await work(app, world)
    world.db["lead_stage_actions"].update_one({"lead_stage_id": run}, {"$set": {"config": {"minutes": 5}}})
    found = await explain(app, id)
    assert failing(found) == ["its action can be read", "it is due"]
    assert "minutes: no such option" in str(next(one.value for one in found.conditions if one.passed is False))


async def test_places_pauses_and_inactive_accounts_hold_a_lead_up(app: EngineApp, world: World, now: datetime) -> None:
    here = stage(world, WAIT)
    id = lead(world)
    enter(world, here, id)
    found = await explain(app, id)
    assert (found.status, found.next.what, failing(found)) == ("entering", "runs", [])

    world.db["pipeline_stages"].update_one({"_id": here}, {"$set": {"automation_paused": {"since": now}}})
    paused = await explain(app, id)
    assert (failing(paused), paused.next.what) == (["stage is not paused"], "waits")
    assert "for the pause of its stage" in paused.next.why

    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})
    assert "account is active" in failing(await explain(app, id))


def entries(now: datetime) -> list[tuple[dict[str, Any], str, str]]:
    """What the entry says beyond a run that is due; what follows, and why."""
    return [
        ({"status": "completed"}, "never", "it was completed"),
        ({"status": "left", "reason": "moved to stage x"}, "never", "the lead left the stage: moved to stage x"),
        ({"status": "cancelled", "reason": "unsubscribed"}, "never", "it was cancelled: unsubscribed"),
        ({"perform_at": now - HOUR}, "runs", "at the next look"),
        ({"perform_at": now + HOUR, "attempts": 2, "last_error": "503"}, "retries", "attempt 2 failed: 503"),
        (
            {"perform_at": now - HOUR, "lease_owner": "host:1:aa", "lease_until": now + HOUR},
            "runs",
            "host:1:aa performs",
        ),
        ({"current_sequence": 9}, "fails", "the row of its action is gone"),
    ]


async def test_what_happens_next(app: EngineApp, world: World, now: datetime) -> None:
    id, run = entered(world, stage(world, NOTE))
    await work(app, world)
    world.db["lead_stage_actions"].update_many({}, {"$set": {"status": "pending"}})
    base = {"status": "active", "current_sequence": 1, "perform_at": now, "attempts": 0, "reason": None}
    free = {"lease_owner": None, "lease_until": None, "last_error": None}
    for changes, what, why in entries(now):
        world.db["lead_stages"].update_one({"_id": run}, {"$set": {**base, **free, **changes}})
        found = await explain(app, id)
        assert (found.next.what, why in found.next.why) == (what, True), (changes, found.next)


async def test_an_action_over_the_limit_says_so(app: EngineApp, world: World) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": {"note": 1}}})
    here = stage(world, NOTE)
    leads = [entered(world, here)[0] for _ in range(3)]
    await work(app, world)
    found = [await explain(app, id) for id in leads]
    (late, *_) = [one for one in found if one.status == "active"]

    assert failing(late) == ["it is due"]
    assert "the account's limit of 1 a minute may have put it off" in late.next.why
    assert "1 actions of its type a minute" in [one.value for one in late.conditions]


async def test_a_lead_that_never_entered_and_one_that_was_won(app: EngineApp, world: World) -> None:
    never = await explain(app, lead(world))
    assert (never.status, never.next.what) == ("none", "never")
    assert "`leads enter` lets it in" in never.next.why
    id, _ = entered(world, stage(world, WAIT))
    await work(app, world)
    world.db["leads"].update_one({"_id": id}, {"$set": {"status": "won"}})
    assert "the lead is won" in (await explain(app, id)).next.why


async def test_exits_are_named_as_the_stage_sets_them(app: EngineApp, world: World) -> None:
    id, _ = entered(world, stage(world, WAIT, exits={"reply": True, "won": False}))
    await work(app, world)
    found = await explain(app, id)
    (exits,) = [one.value for one in found.conditions if one.name == "ends early on"]
    assert set(str(exits).split(", ")) == {"reply", "unsubscribed", "bounced", "meeting"}


async def test_an_unknown_lead_is_refused(app: EngineApp) -> None:
    with pytest.raises(Permanent, match="there is no lead"):
        await explain(app, ObjectId())
