from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jws

from pipeline_engine.clock import Clock
from pipeline_engine.errors import ConfigError
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.tokens import LIFETIME_SECONDS, ServiceTokens
from tests.support.stopped_clock import stopped
from tests.support.tokens import SECRET, WHO, content

SEED_SCOPE = "contacts communications contacts.external contacts.read contacts.create"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> ServiceTokens:
    return ServiceTokens(SECRET, clock)


# Making them


@pytest.mark.covers("DI-09")
def test_a_token_has_the_seeds_claims_for_an_hour(tokens: ServiceTokens, clock: Clock) -> None:
    token = tokens.mint(WHO)
    now = clock.now().timestamp()
    found = content(token)
    assert now - 5 <= found["iat"] <= now
    assert found == {
        "type": "access_token",
        "uid": WHO.uid,
        "account_id": WHO.account_id,
        "parent_account": WHO.parent_account,
        "client_id": WHO.client_id,
        "scope": SEED_SCOPE,
        "iat": found["iat"],
        "exp": found["iat"] + 3600,
    }
    assert jws.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_what_the_call_needs_is_added_to_the_scope_once(tokens: ServiceTokens) -> None:
    assert content(tokens.mint(WHO, "deals.create", "contacts"))["scope"] == f"{SEED_SCOPE} deals.create"


def test_no_parent_account_and_no_client_are_null(tokens: ServiceTokens) -> None:
    found = content(tokens.mint(Identity("u1", "a1")))
    assert found["parent_account"] is None
    assert found["client_id"] is None
    assert tokens.verify(tokens.mint(Identity("u1", "a1"))).identity == Identity("u1", "a1")


@pytest.mark.covers("DI-X6")
def test_a_users_token_is_kept_and_made_again_before_it_runs_out(tokens: ServiceTokens, clock: Clock) -> None:
    with stopped(clock):
        first = tokens.for_user(WHO)
        clock.set(clock.now() + timedelta(seconds=LIFETIME_SECONDS - 310))
        assert tokens.for_user(WHO) == first
        clock.set(clock.now() + timedelta(seconds=20))
        second = tokens.for_user(WHO)
        assert second != first
        assert content(second)["exp"] == content(first)["exp"] + LIFETIME_SECONDS - 290
        clock.set(clock.now() + timedelta(hours=5))
        assert tokens.verify(tokens.for_user(WHO)).identity == WHO


def test_users_and_scopes_do_not_share_a_token(tokens: ServiceTokens) -> None:
    other = Identity(WHO.uid, "b" * 24)
    assert content(tokens.for_user(WHO))["account_id"] == WHO.account_id
    assert content(tokens.for_user(other))["account_id"] == other.account_id
    assert content(tokens.for_user(WHO, "deals.create"))["scope"].endswith("deals.create")
    assert content(tokens.for_user(WHO))["scope"] == SEED_SCOPE


def test_the_number_of_held_tokens_is_bounded(tokens: ServiceTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_engine.providers.tokens.MAX_CACHED_TOKENS", 3)
    for number in range(10):
        tokens.for_user(Identity(f"u{number}", "a1"))
        assert len(tokens._cached) <= 3


@pytest.mark.parametrize("secret", ["", "x", "x" * 31, "ü" * 15])
def test_a_short_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigError, match="APP_SECRET") as failure:
        ServiceTokens(secret, Clock())
    assert len(secret) < 5 or secret not in str(failure.value)


def test_a_public_key_is_no_secret() -> None:
    pem = _public_key(serialization.Encoding.PEM).decode()
    with pytest.raises(ConfigError, match="APP_SECRET"):
        ServiceTokens(pem, Clock())


def test_neither_secret_nor_token_shows_in_a_repr(tokens: ServiceTokens) -> None:
    token = tokens.for_user(WHO)
    assert SECRET not in repr(tokens)
    assert token not in repr(tokens)
    assert token not in repr(tokens.verify(token))


_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


def _public_key(encoding: serialization.Encoding) -> bytes:
    return _RSA.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
