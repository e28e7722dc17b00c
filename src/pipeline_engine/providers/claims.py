"""What a token says about its bearer, and the rules that decide whether to believe it. Signatures are not seen here."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from pipeline_engine.errors import Permanent

LONGEST_TOKEN = 4096  # bytes
SHAPE = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
LEEWAY = 10.0  # seconds that another machine's clock may be ahead of ours
YEAR_9999 = 253_402_300_799
TYPE = "access_token"


class TokenRefused(Permanent):
    """The token is not to be believed. `code` says why in one word; neither code nor message holds any of the token."""


@dataclass(frozen=True)
class Identity:
    """For whom something is done."""

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
    """What an incoming token has to fulfil besides its signature; lifetime in seconds."""

    issuer: str | None = None
    audience: str | None = None
    longest_life: float = 3600.0


def check_header(token: str) -> None:
    """Refuse, before any key is touched, whatever is not plainly an HS256 token.

    Raises: TokenRefused.
    """
    if len(token) > LONGEST_TOKEN or not SHAPE.fullmatch(token):
        refuse("shape", "it is not three short base64url parts")
    header = parse(_decoded(token.split(".", 1)[0]))
    if header.get("alg") != "HS256":
        refuse("algorithm", "its algorithm is not HS256")
    if "crit" in header:
        refuse("crit", "it demands an extension that we do not know")


def check_claims(claims: Mapping[str, Any], now: datetime, rules: Rules) -> Claims:
    """The claims in typed form when every rule is kept.

    Raises: TokenRefused.
    """
    if claims.get("type") != TYPE:
        refuse("type", f"it is not an {TYPE}")
    expires_at = _check_times(claims, now.timestamp(), rules.longest_life)
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        refuse("issuer", "it comes from another issuer")
    if rules.audience is not None and rules.audience not in _audiences(claims.get("aud")):
        refuse("audience", "it is meant for others")
    identity = Identity(
        uid=_text(claims, "uid"),
        account_id=_text(claims, "account_id"),
        parent_account=_text_or_null(claims, "parent_account"),
        client_id=_text_or_null(claims, "client_id"),
    )
    return Claims(identity, frozenset((_text_or_null(claims, "scope") or "").split()), expires_at)


def parse(content: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice, at any depth, and no number is infinite.

    Raises: TokenRefused.
    """
    try:
        found = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        refuse("json", "a part of it is not proper JSON")
    if not isinstance(found, dict):
        refuse("json", "a part of it is not a JSON object")
    return found


def refuse(code: str, reason: str) -> NoReturn:
    raise TokenRefused(f"token refused: {reason}", f"token_{code}")


def _decoded(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        refuse("shape", "a part of it is not base64url")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_times(claims: Mapping[str, Any], now: float, longest_life: float) -> float:
    expires_at, issued_at = _moment(claims, "exp"), _moment(claims, "iat")
    if expires_at <= now:
        refuse("expired", "it has expired")
    if issued_at > now + LEEWAY or ("nbf" in claims and _moment(claims, "nbf") > now + LEEWAY):
        refuse("early", "it is not valid yet")
    if expires_at - issued_at > longest_life:
        refuse("lifetime", f"it lives longer than {longest_life:g} s")
    return expires_at


def _moment(claims: Mapping[str, Any], name: str) -> float:
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
