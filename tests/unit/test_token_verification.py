"""Tokens that come in: one is accepted only when its header, signature, claims and times are as we issue them."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jose import jwt

from pipeline_engine.clock import Clock
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.claims import Identity, Rules, TokenRefused
from pipeline_engine.providers.tokens import ServiceTokens
from tests.support.stopped_clock import stopped
from tests.support.tokens import SECRET, WHO, claims, content, part, signed

SEED_SCOPE = "contacts communications contacts.external contacts.read contacts.create"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> ServiceTokens:
    return ServiceTokens(SECRET, clock)


def refused(tokens: ServiceTokens, token: str) -> str:
    with pytest.raises(TokenRefused) as refusal:
        tokens.verify(token)
    assert isinstance(refusal.value, Permanent)
    if len(token) > 40:  # nothing of it is repeated
        assert not any(token[at : at + 20] in str(refusal.value) for at in range(0, len(token) - 20, 5))
    return refusal.value.code


def test_the_engines_own_token_opens_no_tenants_door(tokens: ServiceTokens) -> None:
    token = tokens.for_service("events.emit")
    found = content(token)
    assert (found["uid"], found["account_id"]) == ("pipeline-engine", None)
    assert found["scope"] == f"{SEED_SCOPE} events.emit"
    assert refused(tokens, token) == "token_account_id"


def test_a_secret_that_looks_like_json_is_taken_as_it_is(clock: Clock) -> None:
    # jose reads key material out of a text like this; a list would make "a" a valid secret.
    secret = '["a", "b", "cccccccccccccccccccccccc"]'
    tokens = ServiceTokens(secret, clock)
    assert tokens.verify(tokens.mint(WHO)).identity == WHO
    assert refused(tokens, signed({"alg": "HS256"}, claims(clock), "a")) == "token_signature"


# Checking them


def test_a_proper_token_says_who_and_what(tokens: ServiceTokens, clock: Clock) -> None:
    given = claims(clock, parent_account="p1", client_id=None, scope="contacts.create contacts.read")
    for token in (
        jwt.encode(given, SECRET, algorithm="HS256"),
        signed({"alg": "HS256", "kid": "../../dev/null"}, given),
    ):
        found = tokens.verify(token)
        assert found.identity == Identity("u1", "a1", "p1", None)
        assert found.scope == {"contacts.create", "contacts.read"}
        assert found.expires_at == given["exp"]


def test_float_times_are_times(tokens: ServiceTokens, clock: Clock) -> None:
    now = clock.now().timestamp()
    assert tokens.verify(signed({"alg": "HS256"}, claims(clock, iat=now, exp=now + 60.5))).expires_at == now + 60.5


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"alg": "none"}, "token_algorithm"),
        ({"alg": "NONE"}, "token_algorithm"),
        ({"alg": "hs256"}, "token_algorithm"),
        ({"alg": "HS512"}, "token_algorithm"),
        ({"alg": "RS256"}, "token_algorithm"),
        ({"alg": ["HS256"]}, "token_algorithm"),
        ({"typ": "JWT"}, "token_algorithm"),
        ({"alg": "HS256", "crit": ["x"]}, "token_crit"),
        ({"alg": "HS256", "crit": []}, "token_crit"),
        (b'{"alg": "none", "alg": "HS256"}', "token_json"),
        (b'{"alg": "HS256"', "token_json"),
        (b'["HS256"]', "token_json"),
        (b'{"alg": "HS256", "x": NaN}', "token_json"),
        (b'{"alg": "HS256", "x": ' + b"[" * 1200 + b"]" * 1200 + b"}", "token_json"),
        (b"\xff\xfe", "token_json"),
    ],
)
def test_headers_that_ask_for_anything_else_are_refused(
    tokens: ServiceTokens, clock: Clock, header: Any, code: str
) -> None:
    assert refused(tokens, signed(header, claims(clock))) == code


def test_an_unsigned_token_is_refused(tokens: ServiceTokens, clock: Clock) -> None:
    assert refused(tokens, f"{part({'alg': 'none'})}.{part(claims(clock))}.") == "token_shape"
    assert refused(tokens, f"{part({'alg': 'HS256'})}.{part(claims(clock))}.AAAA") == "token_signature"


@pytest.mark.parametrize("secret", ["", "x", "another secret of quite sufficient size"])
def test_other_secrets_are_refused(tokens: ServiceTokens, clock: Clock, secret: str) -> None:
    assert refused(tokens, signed({"alg": "HS256"}, claims(clock), secret)) == "token_signature"


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_a_token_signed_with_a_public_key_is_refused(
    tokens: ServiceTokens, clock: Clock, encoding: serialization.Encoding
) -> None:
    assert refused(tokens, signed({"alg": "HS256"}, claims(clock), _public_key(encoding))) == "token_signature"


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_changed_part_is_refused(tokens: ServiceTokens, changed: int) -> None:
    parts = tokens.mint(WHO).split(".")
    raw = bytearray(urlsafe_b64decode(parts[changed] + "=="))
    raw[len(raw) // 2] ^= 1
    parts[changed] = part(bytes(raw))
    assert refused(tokens, ".".join(parts)).startswith("token_")


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"type": ...}, "token_type"),
        ({"type": "refresh_token"}, "token_type"),
        ({"type": None}, "token_type"),
        ({"exp": ...}, "token_exp"),
        ({"exp": None}, "token_exp"),
        ({"exp": "9999999999"}, "token_exp"),
        ({"exp": True}, "token_exp"),
        ({"exp": 1e18}, "token_exp"),
        ({"exp": 10**300}, "token_exp"),
        ({"exp": -1}, "token_exp"),
        ({"exp": 0}, "token_expired"),
        ({"iat": ...}, "token_iat"),
        ({"iat": "now"}, "token_iat"),
        ({"iat": 0}, "token_lifetime"),
        ({"nbf": "soon"}, "token_nbf"),
        ({"nbf": None}, "token_nbf"),
        ({"uid": ...}, "token_uid"),
        ({"uid": ""}, "token_uid"),
        ({"account_id": ...}, "token_account_id"),
        ({"account_id": {"$ne": None}}, "token_account_id"),
        ({"parent_account": ["p1"]}, "token_parent_account"),
        ({"client_id": 7}, "token_client_id"),
        ({"scope": ["contacts.create"]}, "token_scope"),
    ],
    ids=repr,
)
def test_claims_that_are_missing_or_of_another_type_are_refused(
    tokens: ServiceTokens, clock: Clock, other: dict[str, Any], code: str
) -> None:
    assert refused(tokens, signed({"alg": "HS256"}, claims(clock, **other))) == code


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"exp": -1}, "token_expired"),
        ({"iat": 60, "exp": 600}, "token_early"),
        ({"nbf": 60}, "token_early"),
        ({"exp": 3601}, "token_lifetime"),
        ({"iat": -3000, "exp": 601}, "token_lifetime"),
    ],
)
def test_moments_are_compared_with_the_servers_time(
    tokens: ServiceTokens, clock: Clock, other: dict[str, int], code: str
) -> None:
    clock.set(clock.now() + timedelta(days=400))  # so not with this machine's
    with stopped(clock):
        now = int(clock.now().timestamp())
        moved = {name: now + seconds for name, seconds in other.items()}
        assert refused(tokens, signed({"alg": "HS256"}, claims(clock, **moved))) == code


def test_a_neighbours_clock_may_be_a_little_ahead(tokens: ServiceTokens, clock: Clock) -> None:
    now = int(clock.now().timestamp())
    assert tokens.verify(signed({"alg": "HS256"}, claims(clock, iat=now + 5, nbf=now + 5))).identity.uid == "u1"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type": "access_token", "account_id": "a1", "account_id": "a2"}',
        b'{"nested": {"a": 1, "a": 2}}',
        b'{"exp": Infinity}',
        b"7",
        b"null",
        b"{",
        b"\xed\xa0\x80",
        b"[" * 2000,
    ],
)
def test_payloads_that_can_be_read_in_two_ways_are_refused(tokens: ServiceTokens, payload: bytes) -> None:
    assert refused(tokens, signed({"alg": "HS256"}, payload)) == "token_json"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "e30.e30.e30\n",
        " e30.e30.e30",
        "e30=.e30.e30",
        "é.é.é",
        "a.b.c" * 2000,
        "A" * 1_000_000,
        f"{'A' * 2000}.{'A' * 2000}.{'A' * 100}",
        "e.e.e",
    ],
    ids=lambda token: token[:12],
)
def test_other_shapes_are_refused(tokens: ServiceTokens, token: str) -> None:
    assert refused(tokens, token) in {"token_shape", "token_json"}


def test_a_token_of_more_than_4_kb_is_refused_however_it_is_signed(tokens: ServiceTokens, clock: Clock) -> None:
    assert tokens.verify(signed({"alg": "HS256"}, claims(clock, scope="x" * 2600)))
    assert refused(tokens, signed({"alg": "HS256"}, claims(clock, scope="x" * 3000))) == "token_shape"


def test_issuer_and_audience_count_when_they_are_configured(tokens: ServiceTokens, clock: Clock) -> None:
    strict = ServiceTokens(SECRET, clock, Rules(issuer="crm", audience="engine"))
    for issuer, audience, code in (
        ("crm", "engine", None),
        ("crm", ["others", "engine"], None),
        ("crm", "engines", "token_audience"),
        ("crm", ["others"], "token_audience"),
        ("crm", ..., "token_audience"),
        ("evil", "engine", "token_issuer"),
        (["crm"], "engine", "token_issuer"),
        (..., "engine", "token_issuer"),
    ):
        token = signed({"alg": "HS256"}, claims(clock, iss=issuer, aud=audience))
        assert tokens.verify(token).identity.uid == "u1"
        if code:
            assert refused(strict, token) == code
        else:
            assert strict.verify(token).identity.uid == "u1"


def test_the_longest_life_can_be_set(clock: Clock) -> None:
    strict = ServiceTokens(SECRET, clock, Rules(max_lifetime=60))
    assert refused(strict, strict.mint(WHO)) == "token_lifetime"


@given(st.one_of(st.text(), st.from_regex(r"[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,40}", fullmatch=True)))
def test_no_text_raises_anything_but_a_refusal(token: str) -> None:
    refused(ServiceTokens(SECRET, Clock()), token)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_signed_bytes_raise_anything_but_a_refusal(header: bytes, payload: bytes) -> None:
    refused(ServiceTokens(SECRET, Clock()), signed(header, payload))
    refused(ServiceTokens(SECRET, Clock()), signed({"alg": "HS256"}, payload))


_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


def _public_key(encoding: serialization.Encoding) -> bytes:
    return _RSA.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
