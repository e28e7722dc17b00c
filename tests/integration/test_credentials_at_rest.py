"""Credentials at rest: what the engine stores is encrypted, and keys are rotated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from pipeline_engine.domain.credentials.refresh import fresh_token
from pipeline_engine.domain.jobs import credential_rotation, token_check
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.credentials import Credentials
from pipeline_engine.repos.integration_credentials import SECRETS
from pipeline_engine.settings import Settings
from tests.support.credentials import DAY, credential, notices, of
from tests.support.engine_app import open_app
from tests.support.jobs import finish
from tests.support.said import Said
from tests.support.stand_ins.token_endpoint import CLIENT_SECRET, TokenEndpoint
from tests.support.world import World

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with TokenEndpoint() as endpoint:
        yield endpoint


def with_keys(configured: Settings, keys: str) -> Settings:
    return configured.model_copy(update={"credentials_keys": SecretStr(keys)})


async def test_with_keys_no_secret_is_in_the_database_or_the_log(
    world: World, configured: Settings, endpoint: TokenEndpoint, said: Said
) -> None:
    ids = [credential(world, endpoint, client_secret=CLIENT_SECRET) for _ in range(7)]
    async with open_app(with_keys(configured, NEW)) as app:
        assert (await finish(token_check.run, app, world)).done == 7
        tokens = {await fresh_token(app, world.account, id) for id in ids}
    assert tokens == set(endpoint.access_tokens)
    everything = str([list(world.db[name].find()) for name in world.db.list_collection_names()]) + said()
    planted = [CLIENT_SECRET, *endpoint.secrets, "an old token"]
    assert len(planted) >= 20
    assert [secret for secret in planted if secret in everything] == []


async def test_rotation_seals_again_what_older_keys_sealed_and_leaves_plain_values(
    world: World, configured: Settings, endpoint: TokenEndpoint
) -> None:
    id, plain = credential(world, endpoint), credential(world, endpoint, 30 * DAY)
    async with open_app(with_keys(configured, OLD)) as app:
        await finish(token_check.run, app, world)
    before = of(world, plain)
    async with open_app(with_keys(configured, f"{NEW},{OLD}")) as app:
        assert (await finish(credential_rotation.run, app, world)).done == 1
        assert (await finish(credential_rotation.run, app, world)).done == 0
    found, newest = of(world, id), Credentials([NEW])
    assert newest.open(found["access_token"], id) == endpoint.access_tokens[0]
    assert newest.open(found["client_secret"], id) == CLIENT_SECRET
    assert {name: of(world, plain)[name] for name in SECRETS} == {name: before[name] for name in SECRETS}


async def test_rotation_says_when_a_key_is_missing_and_seals_the_others(
    world: World, configured: Settings, endpoint: TokenEndpoint
) -> None:
    for key in (OLD, NEW):
        credential(world, endpoint)
        async with open_app(with_keys(configured, key)) as app:
            await finish(token_check.run, app, world)
    third = Fernet.generate_key().decode()
    async with open_app(with_keys(configured, f"{third},{NEW}")) as app:
        with pytest.raises(Permanent, match="1 credentials"):
            await finish(credential_rotation.run, app, world)
    assert world.db["integration_credentials"].count_documents({"sealed_by": Credentials([third]).key_id}) == 1


async def test_a_credential_that_no_key_opens_asks_nobody_and_is_left_alone(
    world: World, configured: Settings, endpoint: TokenEndpoint
) -> None:
    id = credential(world, endpoint)
    async with open_app(with_keys(configured, OLD)) as app:
        await finish(token_check.run, app, world)
        app.clock.set(app.clock.now() + DAY)
    world.db["integration_credentials"].update_one({"_id": id}, {"$unset": {"refreshed_at": ""}})
    async with open_app(with_keys(configured, NEW)) as app:
        assert (await finish(token_check.run, app, world)).failed == 1
    assert (of(world, id)["status"], notices(world), len(endpoint.calls)) == ("ok", [], 1)
