"""Signatures by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, one for each secret that counts. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256

from pipeline_engine.errors import Permanent

PREFIX = "whsec_"
MIN_SECRET_BYTES = 24
NEW_SECRET_BYTES = 32


def new_secret() -> str:
    """A random secret, as it is stored and as receivers configure it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_SECRET_BYTES)).decode()


def read_secret(text: object) -> bytes:
    """The key in a stored secret: `whsec_` and base64. Raises: Permanent `secret`, which does not quote it."""
    if not isinstance(text, str) or not text.startswith(PREFIX):
        raise Permanent(f"its secret does not begin with {PREFIX}", "secret")
    encoded = text.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Permanent(f"its secret is not base64 after {PREFIX}", "secret") from None
    if len(key) < MIN_SECRET_BYTES:
        raise Permanent(f"its secret has {len(key)} bytes; at least {MIN_SECRET_BYTES} are needed", "secret")
    return key


def signed(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message with these keys' signatures; `timestamp` is in seconds since 1970."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
