"""`POST /api/v1/events`: an event is published once, for the account of the token alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import BytesPayload, ClientSession
from jose import jwt
from pymongo.errors import AutoReconnect

from pipeline_engine import failpoints
from pipeline_engine.failpoints import FaultPlan
from pipeline_engine.ids import derived_id
from pipeline_engine.settings import Settings
from tests.integration.test_admin import Door, opened
from tests.support.crm_events import contact, contact_of, event_of, insert, work
from tests.support.engine_app import EngineApp
from tests.support.world import World

PATH = "/api/v1/events"
PAID: dict[str, Any] = {"type": "order.paid", "data": {"order": 7, "lines": [{"a.b": 1, "$set": {"x": None}}]}}


@pytest.fixture
async def door(configured: Settings, world: World) -> AsyncIterator[Door]:
    async with opened(configured, world) as door:
        yield door


async def post(door: Door, event: object, token: str | None = None) -> tuple[int, Any]:
    """Status, and the error's code or the event's id."""
    status, answer = await door.ask("POST", PATH, token, json=event)
    return status, answer["event_id"] if status == 202 else answer["error"]["code"]


async def send(door: Door, body: bytes) -> tuple[int, Any]:
    """As `post`, with a body that no JSON library writes."""
    status, answer = await door.ask("POST", PATH, data=BytesPayload(body, content_type="application/json"))
    return status, answer["event_id"] if status == 202 else answer["error"]["code"]


def count(world: World) -> int:
    return world.db["crm_events"].count_documents({})


async def test_a_posted_event_is_stored_consumed_and_read(door: Door, app: EngineApp, world: World) -> None:
    person = contact(world)
    status, id = await post(door, {"type": "contact.created", "data": {"contact_id": str(person), "source": "shop"}})
    assert status == 202

    stored = event_of(world, id)
    expected = {"type": "contact.created", "version": 1, "account_id": world.account, "user_id": world.user}
    assert {name: stored[name] for name in expected} == expected
    assert (stored["status"], stored["data"]["source"]) == ("new", "shop")
    assert abs((stored["occurred_at"] - datetime.now(UTC)).total_seconds()) < 60
    await work(app, world)
    assert contact_of(world, person)["lead_score"] == 24
    assert (await door.ask("GET", f"{PATH}/{id}"))[1]["data"] == {"contact_id": str(person), "source": "shop"}


async def test_every_field_is_stored_as_it_is_given(door: Door, world: World) -> None:
    more = {"version": 2, "key": "order:7", "user_id": "the shop", "occurred_at": "2026-03-01T13:00:00.5+01:00"}
    assert await post(door, {**PAID, **more, "id": "order/7 paid?"}) == (202, "order/7 paid?")

    at = datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)
    stored = event_of(world, "order/7 paid?")
    for name, value in {**PAID, **more, "occurred_at": at}.items():
        assert stored[name] == value, name


async def test_a_repeat_is_answered_as_the_first_time(door: Door, app: EngineApp, world: World) -> None:
    event = {**PAID, "id": "order-7", "key": "k", "occurred_at": "2026-03-01T12:00:00Z", "user_id": str(world.user)}
    again = dict(reversed(event.items())) | {"occurred_at": "2026-03-01T13:00:00+01:00"}
    assert await post(door, event) == (202, "order-7")
    assert await post(door, again) == (202, "order-7")
    await work(app, world)
    assert await post(door, again) == (202, "order-7")
    assert (count(world), event_of(world, "order-7")["status"]) == (1, "done")

    before = event_of(world, "order-7")
    others: list[dict[str, Any]] = [{"type": "order.shipped"}, {"data": {"order": 7.0}}, {"key": "other"}]
    others += [{"version": 2}, {"user_id": "x"}, {"occurred_at": "2026-03-01T12:00:01Z"}]
    for other in others:
        assert await post(door, {**event, **other}) == (409, "event_exists"), other
    assert event_of(world, "order-7") == before


async def test_of_two_at_once_under_one_id_one_is_published(door: Door, world: World) -> None:
    answers = await asyncio.gather(*(post(door, {**PAID, "id": "one", "key": f"k{n}"}) for n in range(8)))

    assert sorted(answers) == [(202, "one"), *[(409, "event_exists")] * 7]
    assert event_of(world, "one")["key"] == f"k{answers.index((202, 'one'))}"


async def test_ids_of_other_accounts_are_neither_shown_nor_in_the_way(door: Door, world: World) -> None:
    other = world.neighbour()
    squatted = str(derived_id(world.account, "order-7"))
    for id in ("order-7", squatted):
        insert(other, "order.paid", {"secret": "hunter2"}, _id=id)
    theirs = event_of(world, "order-7")

    status, own = await post(door, {**PAID, "id": "order-7"})

    assert status == 202
    assert own not in ("order-7", squatted)
    assert event_of(world, own)["account_id"] == world.account
    assert await post(door, {**PAID, "id": "order-7"}) == (202, own)
    status, answer = await door.ask("POST", PATH, json={**PAID, "id": "order-7", "data": {"secret": "hunter2"}})
    message = "the event order-7 exists with other content: post this one under another id"
    assert (status, answer["error"]) == (409, {"code": "event_exists", "message": message})
    assert (event_of(world, "order-7"), count(world)) == (theirs, 3)


async def test_a_chain_is_as_long_as_the_stored_events_say(door: Door, world: World) -> None:
    first, last = insert(world, "a", {}), insert(world, "a", {}, cause={"event_id": "x", "depth": 20})
    foreign = insert(world.neighbour(), "a", {})
    for cause, depth in ((first, 1), (insert(world, "a", {}, cause={"event_id": "x", "depth": 7}), 8)):
        _, id = await post(door, {**PAID, "cause": {"event_id": cause, "depth": -1_000_000}})
        assert event_of(world, id)["cause"] == {"event_id": cause, "depth": depth}
    before = count(world)

    assert await post(door, {**PAID, "cause": {"event_id": last, "depth": 0}}) == (422, "cause_depth")
    for cause in (foreign, "none"):
        status, answer = await door.ask("POST", PATH, json={**PAID, "cause": {"event_id": cause}})
        message = f"cause.event_id: there is no event {cause} in this account"
        assert (status, answer["error"]) == (422, {"code": "cause_not_found", "message": message})
    assert count(world) == before


def nested(depth: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    return b'{"type": "a", "data": {"a":' + (opening * depth + "1" + closing * depth).encode() + b"}}"


BAD: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "invalid_json"),
    "half": (b'{"type": "a", "data"', 400, "invalid_json"),
    "a list": (json.dumps([PAID]).encode(), 400, "invalid_json"),
    "NaN": (b'{"type": "a", "data": {"a": NaN}}', 400, "invalid_json"),
    "too large a number": (b'{"type": "a", "data": {"a": 1e999}}', 400, "invalid_json"),
    "half a character": (rb'{"type": "a", "data": {"a": "\ud800"}}', 400, "invalid_json"),
    "nested for ever": (nested(10_000), 400, "invalid_json"),
    "nested as Python can": (nested(900), 422, "payload"),
    "nested lists": (nested(500, "[", "]"), 422, "payload"),
    "nested as MongoDB cannot": (nested(200), 422, "payload"),
    "65 bits": (b'{"type": "a", "data": {"a": 9223372036854775808}}', 422, "payload"),
    "65 bits of version": (b'{"type": "a", "data": {}, "version": 9223372036854775808}', 422, "payload"),
    "NUL in a name": (rb'{"type": "a", "data": {"a\u0000b": 1}}', 422, "payload"),
    "no contact": (b'{"type": "contact.created", "data": {}}', 422, "payload"),
    "a contact that is a filter": (b'{"type": "contact.created", "data": {"contact_id": {"$gt": ""}}}', 422, "payload"),
    "very many wrong ids": (
        json.dumps({"type": "deal.stage_changed", "data": {"deals": [0] * 20_000}}).encode(),
        422,
        "payload",
    ),
    "a state": (b'{"type": "a", "data": {}, "status": "done"}', 422, "invalid_event"),
    "too much": (b'{"type": "a", "data": {"a": "' + b"x" * 65_536 + b'"}}', 413, "too_large"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD.values(), ids=BAD)
async def test_what_cannot_be_an_event_is_refused(
    door: Door, world: World, body: bytes, status: int, code: str
) -> None:
    assert await send(door, body) == (status, code)
    assert count(world) == 0


async def test_what_mongodb_can_hold_is_held_and_consumed(door: Door, app: EngineApp, world: World) -> None:
    bodies = (
        nested(90),
        nested(90, "[", "]"),
        rb'{"type": "$a.b", "data": {"": 1, "$where": "\u0000", "__proto__": []}}',
    )
    for body in bodies:
        status, id = await send(door, body)
        assert status == 202
        await work(app, world)
        assert event_of(world, id)["status"] == "done"
        assert (await door.ask("GET", f"{PATH}/{id}"))[1]["data"] == json.loads(body)["data"]


async def test_a_body_of_another_type_is_refused(door: Door, world: World) -> None:
    status, answer = await door.ask("POST", PATH, data=json.dumps(PAID))
    assert (status, answer["error"]["code"]) == (415, "not_json")
    assert count(world) == 0


async def test_only_who_may_create_contacts_of_an_account_publishes(
    door: Door, world: World, configured: Settings
) -> None:
    assert await post(door, PAID, "") == (401, "token_missing")
    assert await post(door, PAID, door.token[:-4] + "AAAA") == (401, "token_signature")
    now = int(datetime.now(UTC).timestamp())
    assert configured.app_secret is not None
    for account, scope, code in (
        (world.account, "contacts.read", "scope_missing"),
        ("x", "contacts.create", "no_account"),
    ):
        who = {"uid": "u", "account_id": str(account), "type": "access_token", "scope": scope}
        times = {"iat": now, "exp": now + 60}
        token = jwt.encode({**who, **times}, configured.app_secret.get_secret_value(), "HS256")
        assert await post(door, PAID, token) == (403, code)
    assert count(world) == 0


async def test_without_the_database_the_client_is_asked_to_come_again(
    door: Door, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(_plan: FaultPlan) -> None:
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(failpoints, "_inject", lose)
    event = {**PAID, "id": "order-7"}
    for when, there in (("before", 0), ("after", 1)):
        failpoints.arm(json.dumps({"failpoint": "mongo.crm_events.insert_one", "do": "raise", "when": when}), None)
        try:
            headers = {"Authorization": f"Bearer {door.token}"}
            async with (
                ClientSession(headers=headers) as session,
                session.post(door.address + PATH, json=event) as answer,
            ):
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
                assert (await answer.json())["error"]["code"] == "database_away"
        finally:
            failpoints.disarm()
        assert count(world) == there
    assert await post(door, event) == (202, "order-7")
    assert count(world) == 1


async def test_an_event_that_a_rule_of_the_collection_refuses_is_refused(door: Door, world: World) -> None:
    world.demand("crm_events", {"kind": {"$exists": True}})
    assert await post(door, PAID) == (422, "payload")
