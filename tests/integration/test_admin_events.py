"""`GET /api/v1/events/{id}`, to which webhooks link: the whole event, for its own account alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession
from bson import ObjectId

from pipeline_engine.admin.server import listening
from pipeline_engine.domain.webhooks.payload import body_of
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.providers.claims import Identity
from pipeline_engine.settings import Settings
from tests.support.engine_app import open_app
from tests.support.world import World

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Caller:
    """A user of the account of the world."""

    address: str
    token: str
    session: ClientSession

    async def get(self, url: str, token: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        async with self.session.get(url if "://" in url else self.address + url, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def caller(configured: Settings, world: World) -> AsyncIterator[Caller]:
    changed = configured.model_copy(update={"http_port": free_ports(1)[0]})
    async with open_app(changed) as app, ClientSession() as session, listening(app, {}) as address:
        assert app.tokens is not None
        yield Caller(address, app.tokens.mint(Identity(str(world.user), str(world.account))), session)


def event(world: World, id: object, **data: Any) -> dict[str, Any]:
    own = {"_id": id, "account_id": world.account, "type": "form.submitted", "occurred_at": AT, "data": data}
    world.db["crm_events"].insert_one(own)
    return own


async def test_the_link_of_a_webhook_leads_to_the_whole_event(caller: Caller, world: World) -> None:
    contact = ObjectId()
    large = event(world, "of a form/1?", contact_id=contact, text="x" * 30_000)
    body = body_of(large, caller.address).decode()
    link = body.partition('"link":"')[2].partition('"')[0]

    status, found = await caller.get(link)

    assert status == 200
    assert found["data"] == {"contact_id": str(contact), "text": "x" * 30_000}
    about = {"id": "of a form/1?", "type": "form.submitted", "timestamp": "2026-03-01T12:00:00Z"}
    assert {name: found[name] for name in about} == about
    assert found["account_id"] == str(world.account)


async def test_an_id_that_is_stored_as_objectid_is_found_by_its_text(caller: Caller, world: World) -> None:
    id = ObjectId()
    event(world, id, a=1)
    assert (await caller.get(f"/api/v1/events/{id}"))[1]["data"] == {"a": 1}


async def test_an_event_of_another_account_is_as_one_that_does_not_exist(caller: Caller, world: World) -> None:
    event(world.neighbour(), "theirs", secret="x")
    for id in ("theirs", "none"):
        status, answer = await caller.get(f"/api/v1/events/{id}")
        message = f"there is no event {id} in this account"
        assert (status, answer) == (404, {"error": {"code": "event_not_found", "message": message}})


async def test_without_a_token_there_is_no_event(caller: Caller, world: World) -> None:
    event(world, "mine")
    status, answer = await caller.get("/api/v1/events/mine", "x.y.z")
    assert (status, answer["error"]["code"]) == (401, "token_shape")
