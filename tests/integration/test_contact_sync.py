"""Contacts are enriched by Apollo within budget and rate, and never over what a person wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.events.relay import run_relay
from pipeline_engine.domain.jobs import contact_sync
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.run_once import run_once
from tests.support.engine_app import EngineApp, open_app
from tests.support.jobs import contact, events, finish, stored, work
from tests.support.said import Said
from tests.support.stand_ins.apollo import Apollo
from tests.support.stand_ins.stand_in import Say
from tests.support.world import World

LONG_AGO = datetime.now(UTC) - timedelta(days=31)
RECENTLY = datetime.now(UTC) - timedelta(days=29)


@pytest.fixture
async def apollo() -> AsyncIterator[Apollo]:
    async with Apollo() as apollo:
        yield apollo


@pytest.fixture
def environment(environment: dict[str, str], apollo: Apollo) -> dict[str, str]:
    return {**environment, **apollo.environment(), "APOLLO_CALLS_PER_MINUTE": "1000"}


def of(world: World, id: ObjectId) -> dict[str, Any]:
    return stored(world, "contacts", id)


@pytest.mark.covers("CL-15")
async def test_what_is_known_is_stored_scored_and_published(world: World, app: EngineApp, apollo: Apollo) -> None:
    apollo.knows("jo@acme.com", company="Acme", title="CEO", phone="+4930123456")
    id = contact(world, "jo@acme.com", name="Jo", enriched_at=LONG_AGO)
    result = await finish(contact_sync.run, app, world)
    found = of(world, id)
    assert (result.done, found["company"], found["title"], found["phone"]) == (1, "Acme", "CEO", "+4930123456")
    assert found["enriched"] == {"company": "Acme", "title": "CEO", "phone": "+4930123456"}
    assert (found["lead_score"], found["lead_grade"]) == (40, "C")
    assert datetime.now(UTC) - found["enriched_at"] < timedelta(minutes=1)
    (event,) = events(world, "contact.updated")
    assert event["data"] == {"contact_id": str(id), "source": "enrichment"}
    assert "events_due" not in found


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({"enriched_at": LONG_AGO}, True),
        ({"enriched_at": RECENTLY}, False),
        ({}, True),
        ({"enriched_at": None}, True),
        ({"enriched_at": "never"}, True),
        ({"enriched_at": 0}, True),
    ],
)
async def test_due_is_what_was_not_enriched_for_thirty_days(
    world: World, app: EngineApp, apollo: Apollo, fields: dict[str, Any], is_due: bool
) -> None:
    contact(world, "jo@acme.com", **fields)
    await finish(contact_sync.run, app, world)
    assert apollo.asked == ["jo@acme.com"] * is_due


async def test_nobody_of_another_account_is_looked_up(world: World, app: EngineApp, apollo: Apollo) -> None:
    contact(world, "jo@acme.com", account_id=ObjectId())
    contact(world, "ann@acme.com", account_id=str(world.account))
    await finish(contact_sync.run, app, world)
    assert apollo.asked == ["ann@acme.com"]


@pytest.mark.parametrize(
    ("before", "written", "after"),
    [
        (None, None, "new"),  # not filled yet
        ("", None, "new"),
        ("by a person", None, "by a person"),  # filled before the engine was
        ("old", "old", "new"),  # as the engine left it
        ("edited", "old", "edited"),
        ("", "old", ""),  # a person has emptied it
        (7, None, 7),
        ({"odd": 1}, None, {"odd": 1}),
    ],
)
async def test_what_a_person_wrote_stays(
    world: World, app: EngineApp, apollo: Apollo, before: object, written: str | None, after: object
) -> None:
    apollo.knows("jo@acme.com", title="new")
    enriched = {"enriched": {"title": written}} if written else {}
    id = contact(world, "jo@acme.com", title=before, **enriched)
    await finish(contact_sync.run, app, world)
    assert of(world, id)["title"] == after
    assert len(events(world, "contact.updated")) == (before != after)


async def test_a_value_is_never_read_as_an_expression(world: World, app: EngineApp, apollo: Apollo) -> None:
    apollo.knows("jo@acme.com", title="$account_id", company="$$NOW")
    id = contact(world, "jo@acme.com")
    await finish(contact_sync.run, app, world)
    assert (of(world, id)["title"], of(world, id)["company"]) == ("$account_id", "$$NOW")
    assert of(world, id)["enriched"] == {"title": "$account_id", "company": "$$NOW"}


async def test_a_later_edit_is_kept_at_the_next_turn(world: World, app: EngineApp, apollo: Apollo) -> None:
    apollo.knows("jo@acme.com", title="CEO", company="Acme")
    id = contact(world, "jo@acme.com")
    await finish(contact_sync.run, app, world)
    world.db["contacts"].update_one({"_id": id}, {"$set": {"title": "Founder", "enriched_at": LONG_AGO}})
    apollo.knows("jo@acme.com", title="Chairman", company="Acme Inc.")
    await finish(contact_sync.run, app, world)
    found = of(world, id)
    assert (found["title"], found["company"]) == ("Founder", "Acme Inc.")
    assert found["enriched"] == {"title": "CEO", "company": "Acme Inc."}


async def test_ten_are_asked_at_once_and_a_second_run_asks_nobody(world: World, app: EngineApp, apollo: Apollo) -> None:
    for number in range(25):
        contact(world, f"p{number}@acme.com")
    apollo.knows("p3@acme.com", title="CEO")
    assert (await finish(contact_sync.run, app, world)).done == 25
    assert [len(call.content["details"]) for call in apollo.calls] == [10, 10, 5]
    assert (await finish(contact_sync.run, app, world)).done == 0
    assert len(apollo.calls) == 3


async def test_the_budget_of_a_day_ends_at_local_midnight(world: World, app: EngineApp, apollo: Apollo) -> None:
    for number in range(30):
        contact(world, f"p{number}@acme.com")
    kept = {"profile": {"enrichment_budget_per_day": 12}, "zone": ZoneInfo("Asia/Kolkata")}
    assert (await finish(contact_sync.run, app, world, **kept)).done == 12
    assert (await finish(contact_sync.run, app, world, **kept)).done == 0
    app.clock.set(app.clock.now() + timedelta(days=1))
    assert (await finish(contact_sync.run, app, world, **kept)).done == 12


@pytest.mark.parametrize(("given", "budget"), [(0, 0), (5.5, 5), (-1, 1000), ("9", 1000), (True, 1000), (None, 1000)])
def test_a_budget_is_a_number(given: object, budget: int) -> None:
    profile = {"enrichment_budget_per_day": given}
    assert contact_sync.budget(profile, settings.load(_env_file=None)) == budget


@pytest.mark.covers("CL-30")
async def test_the_rate_is_shared_by_daemons_and_loses_nothing(
    world: World, environment: dict[str, str], apollo: Apollo
) -> None:
    for number in range(40):
        contact(world, f"p{number}@acme.com")
    configured = settings.from_environment({**environment, "APOLLO_CALLS_PER_MINUTE": "3"})
    async with open_app(configured) as one, open_app(configured) as other:
        first = await contact_sync.run(work(one, world))
        with pytest.raises(RateLimited) as limited:
            await contact_sync.run(work(other, world))
    assert (first.done, first.more, len(apollo.calls)) == (30, True, 3)
    assert 1 <= limited.value.retry_after <= 60


async def test_a_limit_of_apollo_is_obeyed(world: World, app: EngineApp, apollo: Apollo) -> None:
    contact(world, "jo@acme.com")
    apollo.calls_left = 0
    with pytest.raises(RateLimited) as limited:
        await contact_sync.run(work(app, world))
    assert limited.value.retry_after == 7
    apollo.calls_left = 1
    assert (await finish(contact_sync.run, app, world)).done == 1


async def test_a_slice_that_is_over_comes_back(world: World, app: EngineApp, apollo: Apollo) -> None:
    for number in range(15):
        contact(world, f"p{number}@acme.com")
    result = await contact_sync.run(work(app, world, until=0.0))
    assert (result.more, apollo.calls) == (True, [])


async def test_an_outage_leaves_all_due(world: World, app: EngineApp, apollo: Apollo) -> None:
    contact(world, "jo@acme.com")
    apollo.next.append(Say(503))
    with pytest.raises(Transient):
        await contact_sync.run(work(app, world))
    assert (await finish(contact_sync.run, app, world)).done == 1


class Killed(BaseException):
    """What no handler of errors sees, as little as it sees SIGKILL."""


@pytest.mark.parametrize("point", ["set_asked", "enrich", "publish"])
async def test_a_run_that_is_killed_anywhere_ends_as_if_it_had_not_been(
    world: World, app: EngineApp, apollo: Apollo, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [contact(world, f"p{number}@acme.com") for number in range(12)]
    for number in range(12):
        apollo.knows(f"p{number}@acme.com", title="CEO")
    slice = work(app, world)
    owner: Any = app.shared.events if point == "publish" else slice.app.repos.contact_enrichment
    real, calls = getattr(owner, point), list[int]()

    async def killed(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == (3 if point != "set_asked" else 1):
            raise Killed
        return await real(*given)

    monkeypatch.setattr(owner, point, killed)
    with pytest.raises(Killed):
        await contact_sync.run(slice)
    monkeypatch.undo()
    await finish(contact_sync.run, app, world)
    for left in world.db["contacts"].find({"events_due": {"$exists": True}}):
        await run_relay(app, set(), f"contacts:{left['_id']}")
    assert [of(world, id)["title"] for id in ids] == ["CEO"] * 12
    assert len(events(world, "contact.updated")) == 12


async def test_one_address_that_apollo_refuses_costs_no_other_its_turn(
    world: World, app: EngineApp, apollo: Apollo
) -> None:
    ids = [contact(world, f"p{number}@acme.com") for number in range(12)]
    apollo.refused.add("p4@acme.com")
    apollo.knows("p5@acme.com", title="CEO")
    result = await finish(contact_sync.run, app, world)
    assert (result.done, result.failed) == (11, 1)
    assert of(world, ids[5])["title"] == "CEO"


async def test_a_key_that_apollo_refuses_ends_the_slot_with_the_reason(
    world: World, environment: dict[str, str], apollo: Apollo
) -> None:
    contact(world, "jo@acme.com")
    async with open_app(settings.from_environment({**environment, "APOLLO_API_KEY": "another key"})) as app:
        with pytest.raises(Permanent, match="401"):
            await contact_sync.run(work(app, world))


async def test_bad_contacts_are_left_out_and_take_no_turn(
    world: World, app: EngineApp, apollo: Apollo, said: Said
) -> None:
    for email in ("no address", "", None, 7, ["a@x.com"], {"$gt": ""}, "a@x.com\r\nBcc: b@x.com"):
        for _ in range(4):
            contact(world, email)
    good = contact(world, " jo@acme.com ", enriched="nonsense", events_due="nonsense", lead_score="high")
    apollo.knows("jo@acme.com", title="CEO")
    await finish(contact_sync.run, app, world)
    assert apollo.asked == ["jo@acme.com"]
    assert (of(world, good)["title"], of(world, good)["lead_score"]) == ("CEO", 16)
    assert "jo@acme.com" not in said()


async def test_a_contact_that_gets_another_address_meanwhile_is_left_alone(
    world: World, app: EngineApp, apollo: Apollo, monkeypatch: pytest.MonkeyPatch
) -> None:
    apollo.knows("jo@acme.com", title="CEO")
    id = contact(world, "jo@acme.com")
    match = app.integrations.enrichment.match

    async def meanwhile(emails: Any) -> Any:
        world.db["contacts"].update_one({"_id": id}, {"$set": {"email": "jo@other.com"}})
        monkeypatch.setattr(app.integrations.enrichment, "match", match)
        return await match(emails)

    monkeypatch.setattr(app.integrations.enrichment, "match", meanwhile)
    await finish(contact_sync.run, app, world)
    assert apollo.asked == ["jo@acme.com", "jo@other.com"]
    assert "title" not in of(world, id)


async def test_run_once_says_why_it_is_left_out(world: World, environment: dict[str, str]) -> None:
    configured = settings.from_environment({**environment, "APOLLO_API_KEY": ""})
    (result,) = (await run_once(configured, ["crm.contact_sync"])).results
    assert "APOLLO_API_KEY" in str(result.skipped)


async def test_run_once_enriches_the_contacts_of_every_account(
    world: World, environment: dict[str, str], apollo: Apollo
) -> None:
    other = ObjectId()
    world.db["_accounts"].insert_one({"_id": other, "active": True})
    contact(world, "jo@acme.com")
    contact(world, "ann@acme.com", account_id=other)
    (result,) = (await run_once(settings.from_environment(environment), ["crm.contact_sync"])).results
    assert (result.units, result.failed) == (2, 0)
    assert sorted(apollo.asked) == ["ann@acme.com", "jo@acme.com"]
