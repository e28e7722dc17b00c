"""Tokens of any header and payload, properly signed, and what is in one."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

from jose import jwk, jwt

from pipeline_engine.clock import Clock
from pipeline_engine.providers.claims import Identity

SECRET = "correct horse battery staple, twice over"
WHO = Identity("u" * 24, "a" * 24, "p" * 24, "c" * 24)


def content(token: str) -> dict[str, Any]:
    """What is in a token, by the library alone."""
    return jwt.decode(token, SECRET, algorithms=["HS256"])


def claims(clock: Clock, **other: Any) -> dict[str, Any]:
    now = int(clock.now().timestamp())
    full = {"type": "access_token", "uid": "u1", "account_id": "a1", "iat": now, "exp": now + 600, **other}
    return {name: value for name, value in full.items() if value is not ...}


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, payload: Any, secret: str | bytes = SECRET) -> str:
    """A token with any header and payload, properly signed: for what the library would not make."""
    key = secret if isinstance(secret, bytes) else secret.encode()
    content = f"{part(header)}.{part(payload)}"
    return f"{content}.{part(jwk.HMACKey({'kty': 'oct', 'k': part(key)}, 'HS256').sign(content.encode()))}"
