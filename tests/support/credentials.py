"""Credentials of integrations, as the CRM stores them, at a token endpoint on loopback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from tests.support.jobs import stored
from tests.support.stand_ins.token_endpoint import CLIENT_ID, CLIENT_SECRET, TokenEndpoint
from tests.support.world import World

DAY = timedelta(days=1)


def credential(world: World, endpoint: TokenEndpoint, expires_in: timedelta = DAY, **fields: Any) -> ObjectId:
    own = {"account_id": world.account, "user_id": world.user, "provider": "google", "client_id": CLIENT_ID}
    secrets = {"client_secret": CLIENT_SECRET, "access_token": "an old token", "refresh_token": endpoint.grant()}
    when = {"expires_at": datetime.now(UTC) + expires_in, "status": "ok", "version": 3}
    document = {**own, "token_url": f"{endpoint.url}/token", **secrets, **when, **fields}
    return ObjectId(world.db["integration_credentials"].insert_one(document).inserted_id)


def of(world: World, id: ObjectId) -> dict[str, Any]:
    return stored(world, "integration_credentials", id)


def notices(world: World, **query: Any) -> list[dict[str, Any]]:
    return list(world.db["ai_notifications"].find({"kind": "credential_reauth", **query}))
