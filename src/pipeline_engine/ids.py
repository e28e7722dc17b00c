"""Ids of processes, and ids derived from content, so that a retry produces the same id."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime
from hashlib import blake2b
from typing import Any

from bson import ObjectId


def daemon_id() -> str:
    """A name that is unique to this process: host name, process id and 32 random bits."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def fingerprint(*parts: object, size: int = 12) -> bytes:
    """`size` bytes of BLAKE2b over the parts as text. Equal parts give equal bytes in every process."""
    texts = [str(part) for part in parts]
    # Each part is preceded by its length, so ("a", "bc") and ("ab", "c") differ whatever a tenant writes into them.
    joined = "".join(f"{len(text)}:{text}" for text in texts)
    return blake2b(joined.encode(errors="surrogatepass"), digest_size=size).digest()


def derived_id(*parts: object) -> ObjectId:
    """An ObjectId made of the parts' hash: the `_id` of a document that may be written twice but must exist once."""
    return ObjectId(fingerprint(*parts, size=12))


def object_id(value: object) -> ObjectId | None:
    """The value as ObjectId if it is one, or is a string of 24 lower-case hex digits; else None."""
    if isinstance(value, ObjectId):
        return value
    if isinstance(value, str) and ObjectId.is_valid(value) and str(ObjectId(value)) == value:
        return ObjectId(value)
    return None


def either(reference: ObjectId) -> dict[str, list[ObjectId | str]]:
    """A filter value that matches the reference whether the CRM stored it as ObjectId or as string."""
    return {"$in": [reference, str(reference)]}


def forms_of(value: object) -> list[Any]:
    """The value; an id in both forms in which the CRM may have stored it: as ObjectId, in which the engine stores it,
    and as string."""
    id = object_id(value)
    return [value] if id is None else [id, str(id)]


def seconds_of(moment: datetime) -> bytes:
    """The moment as the first four bytes of an ObjectId: whole seconds since 1970, big-endian."""
    return int(moment.timestamp()).to_bytes(4, "big")
