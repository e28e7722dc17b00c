"""Tokens are refreshed before they expire and before use, once over all users, and people are asked about dead ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.credentials.refresh import fresh_token
from pipeline_engine.domain.jobs import token_check
from pipeline_engine.domain.jobs.lane import Places
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.repos.integration_credentials import REAUTH_REQUIRED
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.settings import Settings
from tests.support.credentials import DAY, credential, notices, of
from tests.support.engine_app import EngineApp, open_app
from tests.support.jobs import finish, work
from tests.support.stand_ins.stand_in import Say
from tests.support.stand_ins.token_endpoint import TokenEndpoint
from tests.support.world import World


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with TokenEndpoint() as endpoint:
        yield endpoint


@pytest.mark.covers("CL-28")
async def test_what_expires_within_a_week_is_refreshed(world: World, app: EngineApp, endpoint: TokenEndpoint) -> None:
    soon = credential(world, endpoint, 6 * DAY)
    late = credential(world, endpoint, 8 * DAY)
    unknown = credential(world, endpoint, expires_at="next week")
    result = await finish(token_check.run, app, world)
    assert (result.done, result.failed, len(endpoint.calls)) == (2, 0, 2)
    found = of(world, soon)
    assert found["access_token"] in endpoint.access_tokens
    assert (found["version"], found["status"], found["lease_owner"]) == (4, "ok", None)
    assert found["refresh_token"] in endpoint.issued
    assert not endpoint.issued[found["refresh_token"]].revoked
    assert abs(found["expires_at"] - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert of(world, unknown)["version"] == 4
    assert of(world, late)["access_token"] == "an old token"


async def test_an_id_and_the_same_id_as_text_are_two_credentials(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    id = credential(world, endpoint)
    credential(world, endpoint, _id=str(id))
    async with asyncio.timeout(20):
        result = await finish(token_check.run, app, world)
    assert (result.done, len(endpoint.calls)) == (2, 2)


async def test_a_second_run_of_the_day_refreshes_nothing_and_the_next_day_does(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    credential(world, endpoint)
    await finish(token_check.run, app, world)
    assert (await finish(token_check.run, app, world)).done == 0
    app.clock.set(app.clock.now() + DAY)
    assert (await finish(token_check.run, app, world)).done == 1  # an unused grant is kept alive
    assert len(endpoint.calls) == 2


@pytest.mark.covers("CL-X11")
async def test_eight_users_of_two_daemons_make_one_call(
    world: World, app: EngineApp, endpoint: TokenEndpoint, configured: Settings
) -> None:
    id = credential(world, endpoint, timedelta(seconds=-5))
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(open_app(configured))
        for one in (app, other):
            await one.heartbeat.beat()
        users = [fresh_token(one, world.account, id) for one in (app, other) for _ in range(4)]
        tokens = await asyncio.gather(*users, finish(token_check.run, other, world))
    assert len(endpoint.calls) == 1
    assert set(tokens[:8]) == {of(world, id)["access_token"]} == set(endpoint.access_tokens)


async def test_a_token_that_is_good_is_used_as_it_is(world: World, app: EngineApp, endpoint: TokenEndpoint) -> None:
    id = credential(world, endpoint, timedelta(minutes=5))
    assert await fresh_token(app, world.account, id) == "an old token"
    assert await fresh_token(app, world.account, id, rejected="an old token") == endpoint.access_tokens[0]
    assert await fresh_token(app, world.account, id, rejected="an old token") == endpoint.access_tokens[0]
    assert len(endpoint.calls) == 1


async def test_a_reference_may_hold_the_id_as_text(world: World, app: EngineApp, endpoint: TokenEndpoint) -> None:
    id = credential(world, endpoint, 30 * DAY)
    assert await fresh_token(app, world.account, str(id)) == "an old token"


async def test_another_account_gets_no_token(world: World, app: EngineApp, endpoint: TokenEndpoint) -> None:
    id = credential(world, endpoint)
    with pytest.raises(Permanent, match="no such credential"):
        await fresh_token(app, ObjectId(), id)


async def test_a_dead_grant_asks_its_user_and_the_admins_once(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    admin, former = ObjectId(), ObjectId()
    own = {"account_id": world.account, "role": "admin"}
    world.db["team_members"].insert_many(
        [
            {**own, "user_id": admin, "active": True},
            {**own, "user_id": former, "active": False},
            {**own, "user_id": world.user, "role": "member", "active": True},
        ]
    )
    id = credential(world, endpoint)
    endpoint.revoke()
    result = await finish(token_check.run, app, world)
    assert (result.done, result.failed) == (0, 1)
    assert of(world, id)["status"] == REAUTH_REQUIRED
    assert {one["user_id"] for one in notices(world, status="open")} == {world.user, admin}
    await finish(token_check.run, app, world)
    with pytest.raises(Permanent, match="connected again"):
        await fresh_token(app, world.account, id)
    assert len(notices(world)) == 2
    assert len(endpoint.calls) == 1


async def test_the_notification_closes_itself_and_a_second_failure_opens_another(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    id = credential(world, endpoint)
    endpoint.revoke()
    await finish(token_check.run, app, world)
    again = {"status": "ok", "refresh_token": endpoint.grant(), "access_token": "by hand"}
    world.db["integration_credentials"].update_one({"_id": id}, {"$set": again})
    assert (await finish(token_check.run, app, world)).done == 1
    assert [one["status"] for one in notices(world)] == ["closed"]
    endpoint.revoke()
    app.clock.set(app.clock.now() + DAY)
    await finish(token_check.run, app, world)
    assert sorted(one["status"] for one in notices(world)) == ["closed", "open"]


async def test_use_after_a_person_connected_again_closes_the_notification(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    id = credential(world, endpoint)
    endpoint.revoke()
    await finish(token_check.run, app, world)
    world.db["integration_credentials"].update_one({"_id": id}, {"$set": {"status": "ok", "access_token": "by hand"}})
    assert await fresh_token(app, world.account, id) == "by hand"
    assert [one["status"] for one in notices(world)] == ["closed"]


async def test_a_grant_that_somebody_else_renewed_is_read_again(
    world: World, app: EngineApp, endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CRM refreshes at the same time, without a lease, and uses the refresh token up."""
    id = credential(world, endpoint, timedelta(0))
    renewed = {"access_token": "by the CRM", "refresh_token": endpoint.grant(), "version": 4}
    renewed |= {"expires_at": datetime.now(UTC) + DAY}
    refresh = app.integrations.oauth.refresh

    async def too_late(grant: Any) -> Any:
        endpoint.issued[grant.refresh_token].revoked = True
        world.db["integration_credentials"].update_one({"_id": id}, {"$set": renewed})
        return await refresh(grant)

    monkeypatch.setattr(app.integrations.oauth, "refresh", too_late)
    assert await fresh_token(app, world.account, id) == "by the CRM"
    assert (of(world, id)["status"], notices(world)) == ("ok", [])


async def test_what_the_crm_stored_during_a_refresh_stays(
    world: World, app: EngineApp, endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = credential(world, endpoint, timedelta(0))
    refresh = app.integrations.oauth.refresh

    async def meanwhile(grant: Any) -> Any:
        tokens = await refresh(grant)
        change = {"access_token": "by a person", "refresh_token": "connected again"}
        world.db["integration_credentials"].update_one({"_id": id}, {"$set": change})
        return tokens

    monkeypatch.setattr(app.integrations.oauth, "refresh", meanwhile)
    assert await fresh_token(app, world.account, id) == "by a person"
    found = of(world, id)
    assert (found["refresh_token"], found["lease_owner"]) == ("connected again", None)


@pytest.mark.parametrize("misdeed", [Say(503), Say(404), Say(429, {}, {"Retry-After": "1"})])
async def test_a_network_error_is_tried_again_and_asks_nobody(
    world: World, app: EngineApp, endpoint: TokenEndpoint, misdeed: Any
) -> None:
    bad, good = credential(world, endpoint, timedelta(hours=1)), credential(world, endpoint)
    endpoint.next.append(misdeed)
    await app.heartbeat.beat()
    with pytest.raises(Transient, match="1 credentials"):
        await token_check.run(work(app, world))
    assert (of(world, good)["version"], of(world, bad)["version"], notices(world)) == (4, 3, [])
    assert of(world, bad)["lease_owner"] is None
    app.clock.set(app.clock.now() + timedelta(seconds=30))
    assert (await token_check.run(work(app, world))).done == 1
    assert of(world, bad)["version"] == 4


async def test_without_a_refresh_token_the_access_token_is_used_until_it_expires(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    id = credential(world, endpoint, timedelta(hours=2), refresh_token=None)
    assert (await finish(token_check.run, app, world)).failed == 0
    app.clock.set(app.clock.now() + timedelta(hours=3))
    assert (await finish(token_check.run, app, world)).failed == 1
    assert of(world, id)["status"] == REAUTH_REQUIRED


async def test_a_private_token_url_is_refused(world: World, configured: Settings, endpoint: TokenEndpoint) -> None:
    id = credential(world, endpoint)
    async with open_app(configured.model_copy(update={"allow_private_hosts": False})) as app:
        assert (await finish(token_check.run, app, world)).failed == 1
    assert not endpoint.calls
    assert "https" in of(world, id)["reauth"]["reason"]


async def test_a_malformed_credential_keeps_no_other_from_being_refreshed(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    odd = [
        credential(world, endpoint, timedelta(hours=1), token_url=7, provider=["x"]),
        credential(world, endpoint, timedelta(hours=1), refresh_token={"$ref": "x", "$id": 1}),
        credential(world, endpoint, timedelta(hours=1), client_secret=7, client_id=None, user_id=None),
        credential(world, endpoint, timedelta(hours=1), version="three", reauth=None, retry_at="never"),
    ]
    good = credential(world, endpoint)
    result = await finish(token_check.run, app, world)
    assert of(world, good)["version"] == 4
    assert result.done + result.failed == len(odd) + 1
    assert all(of(world, id).get("lease_owner") is None for id in odd)


async def test_a_run_that_was_killed_leaves_a_credential_that_another_run_refreshes(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    lease = {"lease_owner": "a daemon that died", "lease_until": past, "token": 8, "crashes": 0}
    id = credential(world, endpoint, DAY, **lease)
    assert (await finish(token_check.run, app, world)).done == 1
    assert of(world, id)["token"] == 9


async def test_the_lease_that_a_killed_run_leaves_is_released_though_nobody_needs_the_credential(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    lease = {"lease_owner": "a daemon that died", "lease_until": past, "token": 8, "crashes": 0}
    id = credential(world, endpoint, 30 * DAY, **lease)
    held = credential(world, endpoint, 30 * DAY, **{**lease, "lease_until": past + DAY})
    jobs = app.with_repos(JobRepos.open)
    (unit,) = await token_check.find_abandoned(jobs)
    assert unit.id == str(id)
    await token_check.run_release(jobs, Places(), id)
    assert await token_check.find_abandoned(jobs) == []
    assert (of(world, id)["lease_owner"], of(world, held)["token"]) == (None, 8)
    assert not endpoint.calls


async def test_notifications_that_a_crash_left_out_are_written_by_the_next_run(
    world: World, app: EngineApp, endpoint: TokenEndpoint
) -> None:
    credential(world, endpoint, status=REAUTH_REQUIRED, reauth={"count": 1, "noted": False, "reason": "revoked"})
    await finish(token_check.run, app, world)
    await finish(token_check.run, app, world)
    assert [one["status"] for one in notices(world)] == ["open"]
    assert not endpoint.calls
