"""Jobs as bytes: msgpack behind a keyed digest. Who can write to Redis but lacks the key cannot make us read."""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import Any

import msgspec

DIGEST = 16
LARGEST = 64 * 1024


class Refused(ValueError):
    """These bytes are not a job of ours. The message never quotes them."""


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
    """Seals and opens. `serialize` and `deserialize` fit arq's `job_serializer` and `job_deserializer`."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError(f"the key of the job digests has {len(key)} bytes; at least 32 are needed")
        # BLAKE2b takes keys up to 64 bytes; hashing makes any length fit.
        self._keyed = blake2b(key=blake2b(key).digest(), digest_size=DIGEST, person=b"pe:lanes")

    def serialize(self, value: Any) -> bytes:
        """The value as sealed msgpack. Raises ValueError over 64 KB, TypeError for what msgpack cannot hold."""
        body = _encode(value)
        if len(body) + DIGEST > LARGEST:
            raise ValueError(
                f"a job of {len(body) + DIGEST} bytes; at most {LARGEST} are allowed: send ids, not content"
            )
        return self._digest(body) + body

    def deserialize(self, sealed: bytes) -> Any:
        """What `serialize` sealed; raises Refused for anything else."""
        return _decode_any(self._open(sealed))

    def payload(self, sealed: bytes) -> Payload:
        """The same for a job, typed."""
        try:
            return _decode_payload(self._open(sealed))
        except msgspec.MsgspecError:
            raise Refused("not in the job format") from None

    def _open(self, sealed: bytes) -> bytes:
        if len(sealed) > LARGEST:
            raise Refused(f"{len(sealed)} bytes, over the limit")
        body = sealed[DIGEST:]
        if not compare_digest(sealed[:DIGEST], self._digest(body)):
            raise Refused("wrong digest")
        return body

    def _digest(self, body: bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(body)
        return digest.digest()
