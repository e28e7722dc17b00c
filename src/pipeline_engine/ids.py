"""Ids that say who we are, and ids that a repeat makes again."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime
from hashlib import blake2b

from bson import ObjectId


def daemon_id() -> str:
    """A name for this process that no other process ever had: host, process id, 32 random bits."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def fingerprint(*parts: object, size: int = 12) -> bytes:
    """`size` bytes of BLAKE2b over the parts as text; the same parts, and no others, give the same bytes everywhere."""
    texts = [str(part) for part in parts]
    # Each with its length before it: however a part was spelled by a tenant, it cannot pass for two.
    joined = "".join(f"{len(text)}:{text}" for text in texts)
    return blake2b(joined.encode(errors="surrogatepass"), digest_size=size).digest()


def derived_id(*parts: object) -> ObjectId:
    """An ObjectId of 96 bits of hash: the `_id` of a document that must exist once however often it is written."""
    return ObjectId(fingerprint(*parts, size=12))


def object_id(value: object) -> ObjectId | None:
    """The value as ObjectId when it is one or is spelled as one (24 lower-case hex digits), else None."""
    if isinstance(value, ObjectId):
        return value
    if isinstance(value, str) and ObjectId.is_valid(value) and str(ObjectId(value)) == value:
        return ObjectId(value)
    return None


def either(reference: ObjectId) -> dict[str, list[ObjectId | str]]:
    """A filter value that finds a reference stored as ObjectId and also one that the CRM stored as a string."""
    return {"$in": [reference, str(reference)]}


def seconds_of(moment: datetime) -> bytes:
    """The first four bytes of an ObjectId made at that moment."""
    return int(moment.timestamp()).to_bytes(4, "big")
