"""The claims of a token and the rules that accept or refuse them. Signatures are checked in `tokens.py`."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from pipeline_engine.errors import Permanent
from pipeline_engine.json_object import json_object

MAX_TOKEN_BYTES = 4096
SHAPE = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
LEEWAY_SECONDS = 10.0  # how far the issuer's clock may be ahead of ours
YEAR_9999 = 253_402_300_799
TYPE = "access_token"


class TokenRefused(Permanent):
    """The token is not accepted. `code` names the reason in one word; neither code nor message quotes the token."""


@dataclass(frozen=True)
class Identity:
    """The user on whose behalf a call is made."""

    uid: str
    account_id: str
    parent_account: str | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class Claims:
    """A checked token's content; `expires_at` in seconds since 1970."""

    identity: Identity
    scope: frozenset[str]
    expires_at: float


@dataclass(frozen=True)
class Rules:
    """What an incoming token must fulfil besides its signature. `max_lifetime` in seconds."""

    issuer: str | None = None
    audience: str | None = None
    max_lifetime: float = 3600.0


def check_header(token: str) -> None:
    """Refuse what is not plainly an HS256 token, before the key is used.

    Raises: TokenRefused.
    """
    if len(token) > MAX_TOKEN_BYTES or not SHAPE.fullmatch(token):
        refuse("shape", "it is not three short base64url parts")
    header, *_ = [_decoded(part) for part in token.split(".")]
    _check_algorithm(parse(header))


def _check_algorithm(header: Mapping[str, Any]) -> None:
    if header.get("alg") != "HS256":
        refuse("algorithm", "its algorithm is not HS256")
    if "crit" in header:
        refuse("crit", "it demands an extension that the engine does not know")


def check_claims(claims: Mapping[str, Any], now: datetime, rules: Rules) -> Claims:
    """The claims in typed form, if they keep every rule.

    Raises: TokenRefused.
    """
    if claims.get("type") != TYPE:
        refuse("type", f"it is not an {TYPE}")
    expires_at = _check_times(claims, now.timestamp(), rules.max_lifetime)
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        refuse("issuer", "it comes from another issuer")
    if rules.audience is not None and rules.audience not in _audiences(claims.get("aud")):
        refuse("audience", "it is issued for another audience")
    identity = Identity(
        uid=_text(claims, "uid"),
        account_id=_text(claims, "account_id"),
        parent_account=_text_or_null(claims, "parent_account"),
        client_id=_text_or_null(claims, "client_id"),
    )
    return Claims(identity, frozenset((_text_or_null(claims, "scope") or "").split()), expires_at)


def parse(content: bytes) -> dict[str, Any]:
    """The JSON object in `content`, which can be read in one way only.

    Raises: TokenRefused.
    """
    try:
        return json_object(content)
    except ValueError:
        refuse("json", "a part of it is not a proper JSON object")


def refuse(code: str, reason: str) -> NoReturn:
    """Raise TokenRefused with the code `token_<code>`."""
    raise TokenRefused(f"token refused: {reason}", f"token_{code}")


def _decoded(part: str) -> bytes:
    """The bytes that this part alone stands for: several spellings of one signature would make one token many."""
    try:
        content = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        refuse("shape", "a part of it is not base64url")
    if urlsafe_b64encode(content).rstrip(b"=") != part.encode():
        refuse("shape", "a part of it is not canonical base64url")
    return content


def _check_times(claims: Mapping[str, Any], now: float, max_lifetime: float) -> float:
    expires_at, issued_at = _timestamp(claims, "exp"), _timestamp(claims, "iat")
    if expires_at <= now:
        refuse("expired", "it has expired")
    if issued_at > now + LEEWAY_SECONDS or ("nbf" in claims and _timestamp(claims, "nbf") > now + LEEWAY_SECONDS):
        refuse("early", "it is not valid yet")
    if expires_at - issued_at > max_lifetime:
        refuse("lifetime", f"it lives longer than {max_lifetime:g} s")
    return expires_at


def _timestamp(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= YEAR_9999:
        refuse(name, f"its {name} is missing or no moment in time")
    return float(value)


def _audiences(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        refuse(name, f"its {name} is missing or no text")
    return value


def _text_or_null(claims: Mapping[str, Any], name: str) -> str | None:
    return None if claims.get(name) is None else _text(claims, name)
