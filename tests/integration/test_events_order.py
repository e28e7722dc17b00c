"""CRM events of one key come one after the other, also across retries; other keys go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pipeline_engine.domain import dead_letters
from pipeline_engine.domain.consumers import attempt
from pipeline_engine.domain.consumers.burial import run_retry
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from pipeline_engine.repos.crm_events import CrmEvents
from tests.support.crm_events import Spy, contact, created, event_of, insert, later, letters, work
from tests.support.engine_app import EngineApp
from tests.support.world import World


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    monkeypatch.setattr(attempt, "CONSUMERS", (spy.consumer,))
    return spy


def seconds_between(first: Any, second: Any) -> float:
    return float((second - first).total_seconds())


@pytest.mark.covers("CL-03")
async def test_events_of_a_key_come_in_the_order_of_their_time(world: World, app: EngineApp, spy: Spy) -> None:
    one, other = contact(world), contact(world)
    late = created(world, one, at=9)
    first, second = created(world, one, at=1), created(world, one, at=5)
    theirs = created(world, other, at=3)

    await work(app, world)

    assert [id for id in spy.seen if id != theirs] == [first, second, late]
    assert {event_of(world, id)["status"] for id in (first, second, late, theirs)} == {"done"}


@pytest.mark.covers("CL-03", "CL-09", "CL-X3")
async def test_a_key_waits_behind_its_failing_event_and_goes_on_after_the_dead_letter(
    world: World, app: EngineApp, spy: Spy
) -> None:
    one, other = contact(world), contact(world)
    bad, behind, theirs = created(world, one, at=1), created(world, one, at=2), created(world, other, at=3)
    spy.failing = {bad}

    await work(app, world)
    assert (spy.seen.count(bad), behind in spy.seen, event_of(world, theirs)["status"]) == (1, False, "done")
    waits: list[float] = []
    for wait in (1, 5, 30):
        stored = event_of(world, bad)
        assert (stored["status"], stored["attempts"]) == ("new", len(waits) + 1)
        waits.append(seconds_between(stored["errors"][-1]["at"], stored["next_at"]))
        newcomer = created(world, one, at=100 + wait)
        await later(app, world, seconds=wait * 0.9)
        assert spy.seen.count(bad) == len(waits)
        assert newcomer not in spy.seen
        await later(app, world, seconds=wait * 0.4)

    assert [wait <= took <= wait * 1.25 for wait, took in zip((1, 5, 30), waits, strict=True)] == [True] * 3
    assert (spy.seen.count(bad), event_of(world, bad)["status"]) == (4, "dead")
    assert event_of(world, behind)["status"] == "done"
    assert world.db["crm_events"].count_documents({"status": "new"}) == 0
    mine = [id for id in spy.seen if id != theirs]
    assert mine[:5] == [bad, bad, bad, bad, behind]


@pytest.mark.covers("CL-09")
async def test_a_dead_letter_has_its_errors_and_is_consumed_again_when_it_is_retried(
    world: World, app: EngineApp, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = Spy("steady")
    monkeypatch.setattr(attempt, "CONSUMERS", (steady.consumer, spy.consumer))
    bad = created(world, contact(world))
    spy.failing = {bad}
    for _ in range(4):
        await later(app, world, seconds=40)

    (letter,) = letters(world)
    assert (letter["lane"], letter["job_id"], letter["args"], letter["function"]) == (
        "crm-events",
        bad,
        [bad],
        "event.retry",
    )
    assert (letter["attempts"], [one["attempt"] for one in letter["errors"]]) == (4, [1, 2, 3, 4])
    assert "spy: ValueError: on purpose" in letter["error"]
    stored = event_of(world, bad)
    assert (stored["consumed"], stored["onward"]) == (["steady"], ["activity"])
    assert (steady.seen, len(spy.seen)) == ([bad], 4)

    world.db["crm_events"].update_one({"_id": bad}, {"$unset": {"onward": ""}})  # all have taken it
    spy.failing = set()
    scope = app.with_repos(ConsumerRepos.open)
    await run_retry(scope, None, bad)
    await run_retry(scope, None, bad)
    await work(app, world)

    stored = event_of(world, bad)
    assert (stored["status"], sorted(stored["consumed"]), "onward" in stored) == ("done", ["spy", "steady"], False)
    assert (steady.seen, len(spy.seen), len(letters(world))) == ([bad], 5, 1)


@pytest.mark.covers("CL-09")
async def test_an_event_whose_data_is_repaired_goes_onward_to_all(world: World, app: EngineApp, spy: Spy) -> None:
    for name in ("workflows", "webhooks"):
        world.db[name].insert_one({"account_id": world.account})
    bad = insert(world, "contact.created", {})
    await work(app, world)
    assert event_of(world, bad)["status"] == "dead"
    # All have taken it, and an operator replays it to one webhook, which has not taken it yet.
    again = {"$set": {"onward": ["webhooks"], "only": {"webhooks": "w"}}}
    world.db["crm_events"].update_one({"_id": bad}, again)

    (letter,) = letters(world)
    await dead_letters.retry(app, letter["_id"], {"contact_id": str(contact(world))})
    await run_retry(app.with_repos(ConsumerRepos.open), None, bad)
    await work(app, world)

    stored = event_of(world, bad)
    assert (stored["status"], stored["onward"]) == ("done", ["activity", "workflows", "webhooks"])
    assert not stored.get("only")
    assert spy.seen == [bad]


@pytest.mark.covers("CL-03", "CL-09")
async def test_an_attempt_that_becomes_due_between_two_reads_keeps_its_place(
    world: World, app: EngineApp, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = contact(world)
    bad = created(world, one, at=1)
    spy.failing = {bad}
    await work(app, world)
    behind = created(world, one, at=2)
    read_due, spy.failing = CrmEvents.read_due, set()

    async def slowly(*given: Any) -> list[dict[str, Any]]:
        found = await read_due(*given)
        app.clock.set(app.clock.now() + timedelta(seconds=2))
        return found

    monkeypatch.setattr(CrmEvents, "read_due", slowly)
    await work(app, world)

    assert spy.seen == [bad, bad, behind]


async def test_very_many_blocked_events_hold_up_no_other_key(world: World, app: EngineApp, spy: Spy) -> None:
    one, other = contact(world), contact(world)
    bad = created(world, one, at=0)
    spy.failing = {bad}
    blocked = [created(world, one, at=1 + n) for n in range(450)]
    theirs = created(world, other, at=1000)

    await work(app, world)
    assert event_of(world, theirs)["status"] == "done"
    assert spy.seen == [bad, theirs]

    spy.failing = set()
    await later(app, world, seconds=2)
    assert [id for id in spy.seen if id != theirs] == [bad, bad, *blocked]


@pytest.mark.covers("CL-07")
async def test_odd_events_harm_only_themselves(world: World, app: EngineApp, spy: Spy) -> None:
    from bson.datetime_ms import DatetimeMS

    good = [created(world, contact(world), at=n) for n in range(3)]
    odd = [
        insert(world, "contact.created", ["a list"]),
        insert(world, "contact.created", {}),
        insert(world, "contact.created", {"contact_id": {"a": 1}}),
        insert(world, "", {}),
        insert(world, "deal.won", {"deal_id": "x"}, occurred_at=DatetimeMS(577_000_000_000_000)),
        insert(world, "my.own", {}, cause={"event_id": "x", "depth": 21}),
    ]
    lenient = [
        insert(world, "my.own", {"any": 1}, attempts="many", errors=[1, "x"], consumed=[{}], next_at="soon"),
        insert(world, "my.own", {}, crashes={"a": 1}, onward="activity", retries=1e300, failing_key=3),
    ]
    unnamed = insert(world, "my.own", {}, _id={"an": "object"})

    for _ in range(2):
        await later(app, world, seconds=60)

    assert {event_of(world, id)["status"] for id in good} == {"done"}
    assert {event_of(world, id)["status"] for id in lenient} == {"done"}
    dead = [event_of(world, id) for id in odd]
    assert {one["status"] for one in dead} == {"dead"}
    assert all(one["error"] for one in dead)
    assert {letter["job_id"] for letter in letters(world)} == set(odd)
    aside = world.db["quarantine"].find_one({"collection": "crm_events"})
    assert aside
    assert aside["document_id"] == unnamed


async def test_an_event_that_fails_with_others_is_found_alone(
    world: World, app: EngineApp, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline_engine.domain.consumers.table import Consumer

    ids = [created(world, contact(world), at=n) for n in range(20)]

    async def raising(_app: object, _account: object, events: Any) -> dict[Any, Exception]:
        if any(event.id == ids[13] for event in events):
            raise TypeError("a fault of the consumer")
        return {}

    monkeypatch.setattr(attempt, "CONSUMERS", (Consumer("raising", frozenset({"contact.created"}), raising),))
    await work(app, world)

    states = {id: event_of(world, id)["status"] for id in ids}
    assert [id for id, state in states.items() if state != "done"] == [ids[13]]
    assert "TypeError" in event_of(world, ids[13])["errors"][0]["error"]
