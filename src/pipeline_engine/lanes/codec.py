"""Jobs as bytes: msgpack behind a keyed digest, so that only holders of the key can write jobs that a worker reads."""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import Any

import msgspec

MIN_KEY_BYTES = 32
DIGEST_BYTES = 16
MAX_JOB_BYTES = 64 * 1024


class Refused(ValueError):
    """These bytes were not sealed with the key, or are no job. The message never quotes them."""


class Payload(msgspec.Struct, frozen=True):
    """arq's job format: function, arguments, keyword arguments, time of enqueueing in ms, attempt (ignored)."""

    f: str
    a: list[Any]
    k: dict[str, Any]
    et: int
    t: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_any = msgspec.msgpack.Decoder().decode
_decode_payload = msgspec.msgpack.Decoder(Payload).decode


class Codec:
    """Seals and opens values. `serialize` and `deserialize` fit arq's `job_serializer` and `job_deserializer`."""

    def __init__(self, key: bytes) -> None:
        """Raises: ValueError when the key has fewer than 32 bytes."""
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the key of the job digests has {len(key)} bytes; at least {MIN_KEY_BYTES} are needed")
        # BLAKE2b takes keys of up to 64 bytes; hashing makes a key of any length fit.
        self._keyed = blake2b(key=blake2b(key).digest(), digest_size=DIGEST_BYTES, person=b"pe:lanes")

    def serialize(self, value: Any) -> bytes:
        """The value as sealed msgpack. Raises: ValueError over 64 KB, TypeError for what msgpack cannot hold."""
        body = _encode(value)
        size = len(body) + DIGEST_BYTES
        if size > MAX_JOB_BYTES:
            raise ValueError(f"a job of {size} bytes; at most {MAX_JOB_BYTES} are allowed: send ids, not content")
        return self._digest(body) + body

    def deserialize(self, sealed: bytes) -> Any:
        """The value that `serialize` sealed. Raises: Refused for any other bytes."""
        return _decode_any(self._open(sealed))

    def payload(self, sealed: bytes) -> Payload:
        """The job that `serialize` sealed. Raises: Refused for any other bytes."""
        try:
            return _decode_payload(self._open(sealed))
        except msgspec.MsgspecError:
            raise Refused("not in the job format") from None

    def _open(self, sealed: bytes) -> bytes:
        if len(sealed) > MAX_JOB_BYTES:
            raise Refused(f"{len(sealed)} bytes, over the limit")
        body = sealed[DIGEST_BYTES:]
        if not compare_digest(sealed[:DIGEST_BYTES], self._digest(body)):
            raise Refused("wrong digest")
        return body

    def _digest(self, body: bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(body)
        return digest.digest()
