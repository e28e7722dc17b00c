"""What MongoDB says of itself: its time, whether it can tell us of changes, and the key for job digests."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pymongo.errors import DuplicateKeyError

from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


class Server:
    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        self._database = database

    @failpoint("mongo.hello")
    async def now(self) -> datetime:
        """The server's clock, UTC. Late by the way of the answer, never ahead: nothing fires early."""
        moment: datetime = (await self._database.command("hello"))["localTime"]
        return moment.replace(tzinfo=UTC)  # commands answer without a zone, whatever the client is told

    @failpoint("mongo.hello")
    async def has_change_streams(self) -> bool:
        """Replica sets and sharded clusters have them, a standalone server has not."""
        hello = await self._database.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    @failpoint("mongo.engine_keys.digest_key")
    async def digest_key(self) -> bytes:
        """A random key, made once per database, for deployments without an APP_SECRET."""
        keys = self._database["engine_keys"]
        with suppress(DuplicateKeyError):
            await keys.insert_one({"_id": "job_digest", "key": secrets.token_bytes(32)})
        stored = await keys.find_one({"_id": "job_digest"})
        return bytes(stored["key"]) if stored else b""
