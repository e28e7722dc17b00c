"""A process that dies at any call while it consumes events: nothing lost, nothing twice, order kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pipeline_engine import failpoints
from pipeline_engine.domain.consumers import attempt, consume
from pipeline_engine.domain.consumers.table import CONSUMERS, Consumer
from pipeline_engine.domain.events.publisher import EventPublisher
from pipeline_engine.failpoints import FaultPlan
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from tests.support.crm_events import (
    Spy,
    contact,
    contact_of,
    created,
    event_of,
    later,
    letters,
    members,
    work,
    write_log,
)
from tests.support.engine_app import EngineApp
from tests.support.world import World

POINTS = [
    ("mongo.event_lines.find_one_and_update", 1),
    ("mongo.event_lines.find_one_and_update", 3),
    ("mongo.contacts.update_many", 1),
    ("mongo.business_profiles.insert_many", 1),
    ("mongo.business_profiles.update_one", 1),
    ("mongo.business_profiles.update_one", 2),
    ("mongo.contacts.bulk", 1),
    ("mongo.activities.insert_many", 1),
    ("mongo.crm_events.update_many", 1),
    ("mongo.crm_events.update_many", 2),
    ("mongo.activity_log.insert_many", 1),
]


class Died(BaseException):
    """Stands for the end of the process: no handler of the engine catches it."""


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str) -> Iterator[None]:
    async def die(_plan: FaultPlan) -> None:
        raise Died

    monkeypatch.setattr(failpoints, "_inject", die)
    plan = {"failpoint": point, "do": "kill", "when": when, "nth": nth}
    failpoints.arm(msgspec.json.encode(plan).decode(), None)
    try:
        with pytest.raises(Died):
            yield
    finally:
        failpoints.disarm()


def abandon(world: World) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    world.db["event_lines"].update_many({"lease_owner": {"$gt": ""}}, {"$set": {"lease_until": past}})


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), POINTS)
@pytest.mark.covers("CL-08")
async def test_events_are_consumed_once_after_a_crash_at_any_call(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str
) -> None:
    spy = Spy()
    monkeypatch.setattr(attempt, "CONSUMERS", (*CONSUMERS, spy.consumer))
    users = members(world, 3)
    contacts = [contact(world) for _ in range(6)]
    ids = [created(world, one, at=n) for n, one in enumerate(contacts)]
    second = [created(world, one, at=10 + n) for n, one in enumerate(contacts)]

    async def everything() -> None:
        await work(app, world)
        await write_log(app, world)

    with dying(monkeypatch, point, nth, when):
        await everything()
    abandon(world)
    await everything()

    assert {event_of(world, id)["status"] for id in [*ids, *second]} == {"done"}
    assert Counter(contact_of(world, id)["owner"] for id in contacts) == dict.fromkeys(users, 2)
    assert {contact_of(world, id)["lead_grade"] for id in contacts} == {"D"}
    for collection in ("activities", "activity_log"):
        assert sorted(one["event_id"] for one in world.db[collection].find()) == sorted([*ids, *second])
    for one, other in zip(ids, second, strict=True):
        assert spy.seen.index(one) < spy.seen.index(other)
    assert letters(world) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["crm_events.bulk", "dead_letters.save_dead_letter", "crm_events.update_many"])
@pytest.mark.covers("CL-09")
async def test_a_dead_letter_is_written_once_after_a_crash(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch, call: str, when: str
) -> None:
    spy = Spy()
    monkeypatch.setattr(attempt, "CONSUMERS", (spy.consumer,))
    bad = created(world, contact(world))
    spy.failing = {bad}
    for _ in range(3):
        await later(app, world, seconds=40)

    with dying(monkeypatch, f"mongo.{call}", 1, when):
        await later(app, world, seconds=40)
    abandon(world)
    await later(app, world, seconds=1)

    (letter,) = letters(world)
    assert (letter["job_id"], event_of(world, bad)["status"]) == (bad, "dead")
    assert len(spy.seen) in (4, 5)


@pytest.mark.covers("CL-09")
async def test_an_event_that_ends_processes_is_found_and_given_up(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [created(world, contact(world), at=n) for n in range(8)]

    async def poisoned(_app: object, _account: object, events: Any) -> dict[Any, Exception]:
        if any(event.id == ids[5] for event in events):
            raise Died
        return {}

    monkeypatch.setattr(attempt, "CONSUMERS", (Consumer("poisoned", frozenset({"contact.created"}), poisoned),))
    deaths = 0
    while event_of(world, ids[5])["status"] == "new":
        try:
            await work(app, world)
        except Died:
            deaths += 1
            assert deaths < 10
            abandon(world)

    assert [event_of(world, id)["status"] for id in ids] == ["done"] * 5 + ["dead"] + ["done"] * 2
    assert (deaths, letters(world)[0]["job_id"]) == (5, ids[5])


@pytest.mark.covers("CL-X2")
async def test_four_runs_at_once_consume_each_event_once_and_in_order(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr(attempt, "CONSUMERS", (*CONSUMERS, spy.consumer))
    one = contact(world)
    ids = [created(world, one, at=n) for n in range(60)]
    await app.heartbeat.beat()
    scope = app.with_repos(ConsumerRepos.open)

    async def run() -> None:
        while world.db["crm_events"].count_documents({"status": "new"}):
            await consume.run_consume(scope, None, world.account)

    await asyncio.gather(*(run() for _ in range(4)))

    assert spy.seen == ids


async def test_a_published_event_is_there_once_and_its_job_in_the_lane(world: World, app: EngineApp) -> None:
    publisher = EventPublisher(app)
    data = {"contact_id": contact(world)}

    ids = {await publisher.publish("contact.created", data, world.account, id="mine") for _ in range(5)}
    other = await publisher.publish("my.own", {}, world.account, key="k", user_id=world.user)

    assert (ids, world.db["crm_events"].count_documents({})) == ({"mine"}, 2)
    assert (await app.queue.counts(["crm-events"]))["crm-events"].waiting == 1
    stored = event_of(world, other)
    assert (stored["status"], stored["version"], stored["key"], stored["attempts"]) == ("new", 1, "k", 0)
    await work(app, world)
    assert {one["status"] for one in world.db["crm_events"].find()} == {"done"}
