"""Refreshes at a real authorization server (Authlib), and at endpoints that misbehave."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.providers.oauth import INVALID_GRANT, MAX_LIFETIME, OAuth, RefreshGrant, Tokens
from tests.support.stand_ins.stand_in import BreakOff, Hang, Misdeed, Say
from tests.support.stand_ins.token_endpoint import CLIENT_ID, CLIENT_SECRET, TokenEndpoint


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with TokenEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def oauth() -> AsyncIterator[OAuth]:
    async with OAuth(allow_private=True) as oauth:
        yield oauth


@pytest.fixture
async def hasty() -> AsyncIterator[OAuth]:
    """A client of which a call may take two seconds."""
    async with OAuth(allow_private=True, timeout=2) as oauth:
        yield oauth


def grant(endpoint: TokenEndpoint, **other: str) -> RefreshGrant:
    given = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": endpoint.grant()}
    return RefreshGrant(**{"token_url": f"{endpoint.url}/token", **given, **other})


async def test_a_refresh_returns_new_tokens_and_the_old_one_is_used_up(oauth: OAuth, endpoint: TokenEndpoint) -> None:
    old = grant(endpoint)
    tokens = await oauth.refresh(old)
    assert tokens.access_token == endpoint.access_tokens[0]
    assert tokens.refresh_token != old.refresh_token
    assert tokens.lifetime == timedelta(hours=1)
    with pytest.raises(Permanent) as refused:
        await oauth.refresh(old)
    assert refused.value.code == INVALID_GRANT
    again = await oauth.refresh(grant(endpoint, refresh_token=tokens.refresh_token))
    assert again.access_token != tokens.access_token


async def test_without_rotation_the_refresh_token_stays(oauth: OAuth, endpoint: TokenEndpoint) -> None:
    endpoint.rotates = False
    given = grant(endpoint)
    assert (await oauth.refresh(given)).refresh_token == given.refresh_token


async def test_a_server_that_knows_only_basic_is_asked_again(oauth: OAuth, endpoint: TokenEndpoint) -> None:
    endpoint.method = "client_secret_basic"
    assert isinstance(await oauth.refresh(grant(endpoint)), Tokens)
    assert len(endpoint.calls) == 2


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        ("7200", timedelta(hours=2)),
        (None, timedelta(hours=1)),
        (0, timedelta(hours=1)),
        ("soon", timedelta(hours=1)),
        (True, timedelta(seconds=1)),
        (1e300, MAX_LIFETIME),
        ([], timedelta(hours=1)),
    ],
)
async def test_a_lifetime_is_read_however_it_is_spelled(
    oauth: OAuth, endpoint: TokenEndpoint, expires_in: object, lifetime: timedelta
) -> None:
    endpoint.expires_in = expires_in
    assert (await oauth.refresh(grant(endpoint))).lifetime == lifetime


async def test_a_wrong_secret_is_named_by_its_code_and_not_shown(oauth: OAuth, endpoint: TokenEndpoint) -> None:
    with pytest.raises(Permanent) as refused:
        await oauth.refresh(grant(endpoint, client_secret="a wrong secret"))
    assert refused.value.code == "invalid_client"
    assert "a wrong secret" not in str(refused.value)


@pytest.mark.parametrize(
    "misdeed",
    [
        BreakOff(),
        Hang(),
        Say(500),
        Say(503, {"error": "invalid_grant"}),
        Say(403, {"message": "blocked by the firewall"}),
        Say(404),
        Say(400, {"error": {"code": 400}}),
        Say(400, {"error": "temporarily_unavailable"}),
        Say(200, {}),
        Say(200, {"access_token": ""}),
        Say(200, {"access_token": 7}),
        Say(302, {}, {"Location": "/elsewhere"}),
    ],
)
async def test_what_says_nothing_about_the_grant_may_pass(
    oauth: OAuth, hasty: OAuth, endpoint: TokenEndpoint, misdeed: Misdeed
) -> None:
    endpoint.next.append(misdeed)
    with pytest.raises(Transient):
        await (hasty if isinstance(misdeed, Hang) else oauth).refresh(grant(endpoint))
    assert len(endpoint.calls) == 1


async def test_a_limit_says_when_to_come_back(oauth: OAuth, endpoint: TokenEndpoint) -> None:
    endpoint.next.append(Say(429, {"error": "slow_down"}, {"Retry-After": "9"}))
    with pytest.raises(RateLimited) as limited:
        await oauth.refresh(grant(endpoint))
    assert limited.value.retry_after == 9


async def test_an_answer_that_quotes_the_secrets_is_not_quoted(oauth: OAuth, endpoint: TokenEndpoint) -> None:
    given = grant(endpoint)
    said = f"no token {given.refresh_token} for {given.client_secret}"
    endpoint.next.append(Say(400, {"error": "invalid_grant", "error_description": said}))
    with pytest.raises(Permanent) as refused:
        await oauth.refresh(given)
    assert not any(secret in str(refused.value) for secret in given.secrets)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/token", "https://127.0.0.1/token", "https://[::1]/t", "https://localhost/t", "", "ftp://a"],
)
async def test_a_private_host_is_refused_before_any_secret_leaves(endpoint: TokenEndpoint, url: str) -> None:
    async with OAuth(allow_private=False) as oauth:
        with pytest.raises(Permanent) as refused:
            await oauth.refresh(grant(endpoint, token_url=url))
    assert refused.value.code in ("url", "private_host")


async def test_a_name_that_turns_private_is_refused(endpoint: TokenEndpoint) -> None:
    def lookup(*_asked: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.5", 443))]

    async with OAuth(allow_private=False, lookup=lookup) as oauth:
        with pytest.raises(Permanent) as refused:
            await oauth.refresh(grant(endpoint, token_url="https://login.example.com/token"))
    assert refused.value.code == "private_host"
    assert "10.0.0.5" not in str(refused.value)


async def test_a_huge_answer_is_not_read(oauth: OAuth, endpoint: TokenEndpoint) -> None:
    endpoint.next.append(Say(200, {"access_token": "x" * 3_000_000}))
    with pytest.raises(Permanent) as refused:
        await oauth.refresh(grant(endpoint))
    assert refused.value.code == "too_large"
