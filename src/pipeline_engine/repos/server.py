"""Facts of the MongoDB server: its time, whether it has change streams, and the engine's keys."""

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
    """Every method raises PyMongoError when MongoDB is away."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        self._database = database

    @failpoint("mongo.hello")
    async def now(self) -> datetime:
        """The server's time, UTC.

        It is late by the answer's travel time and never ahead, so that nothing fires early.
        """
        moment: datetime = (await self._database.command("hello"))["localTime"]
        return moment.replace(tzinfo=UTC)  # commands answer without a zone, also with `tz_aware`

    @failpoint("mongo.hello")
    async def has_change_streams(self) -> bool:
        """Whether the server has change streams: replica sets and sharded clusters do, a standalone server does not."""
        hello = await self._database.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    @failpoint("mongo.engine_keys.digest_key")
    async def digest_key(self) -> bytes:
        """A random key, made once per database, for deployments without an APP_SECRET."""
        return await self._key("job_digest")

    @failpoint("mongo.engine_keys.recipients_key")
    async def recipients_key(self) -> bytes:
        """A random key, made once per database: links to unsubscribe and hashes of addresses stay good for years, also
        when APP_SECRET is changed."""
        return await self._key("recipients")

    async def _key(self, id: str) -> bytes:
        keys = self._database["engine_keys"]
        if (stored := await keys.find_one({"_id": id})) is None:
            with suppress(DuplicateKeyError):
                await keys.insert_one({"_id": id, "key": secrets.token_bytes(32)})
            stored = await keys.find_one({"_id": id})
        return bytes(stored["key"]) if stored else b""
