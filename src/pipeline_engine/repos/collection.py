"""A collection that refuses a query without an account, so that no tenant ever sees another's documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bson import decode_all
from pymongo import ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.own_fields import OwnFields, drop_misfits

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorCollection

DUPLICATE_KEY = 11000
MAX_REPLY_DOCUMENTS = 100_000
"""So many that only their bytes limit a reply; without it, the first has 101."""

Query = Mapping[str, Any]
Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Sort = Sequence[tuple[str, int]]


class AccountMissing(AssertionError):
    """A query or document without `account_id`: a fault in the program, never in the data."""


class Collection:
    """The operations that the engine needs, each behind a failpoint `mongo.<collection>.<operation>`.

    With `tenant` every filter and document must contain `account_id`, else AccountMissing is raised. `everywhere` is
    the same collection without that rule, for sweeps, claims by id and upkeep over all accounts. Documents are returned
    without those of the `own` fields that hold a value of another type.
    """

    def __init__(
        self, raw: AsyncIOMotorCollection[Document], tenant: bool = True, own: OwnFields | None = None
    ) -> None:
        self.raw = raw
        self._tenant = tenant
        self._own = own or {}

    @property
    def everywhere(self) -> Collection:
        return Collection(self.raw, tenant=False, own=self._own)

    def _tidy(self, document: Document) -> Document:
        drop_misfits(document, self._own)
        return document

    def _check(self, *owned: Query) -> None:
        if self._tenant and not all("account_id" in part for part in owned):
            raise AccountMissing(f"{self.raw.name}: a query or document without account_id")

    def _failpoint(self, verb: str) -> Any:
        return failpoint(f"mongo.{self.raw.name}.{verb}")

    async def find_one(self, query: Query, **options: Any) -> Document | None:
        self._check(query)
        async with self._failpoint("find_one"):
            found = await self.raw.find_one(query, **options)
        return found and self._tidy(found)

    async def find(self, query: Query, limit: int = 0, sort: Sort | None = None, **options: Any) -> list[Document]:
        self._check(query)
        async with self._failpoint("find"):
            found = await self.raw.find(query, limit=limit, sort=sort, **options).to_list(None)
        return [self._tidy(one) for one in found] if self._own else found

    async def stream(self, query: Query, sort: Sort, **options: Any) -> AsyncIterator[Document]:
        """As `find`, but holds only one batch in memory at a time."""
        self._check(query)
        async with self._failpoint("stream"):
            async for document in self.raw.find(query, sort=sort, **options):
                yield self._tidy(document)

    async def replies(self, query: Query, sort: Sort | None = None, **options: Any) -> AsyncIterator[list[Document]]:
        """As `find`, one reply of the server at a time: as many documents as 16 MB hold, and at least one."""
        self._check(query)
        async with self._failpoint("replies"):
            cursor = self.raw.find_raw_batches(query, sort=sort, batch_size=MAX_REPLY_DOCUMENTS, **options)
            try:
                async for reply in cursor:
                    yield [self._tidy(one) for one in decode_all(reply, self.raw.codec_options)]
            finally:
                await cursor.close()

    async def count(self, query: Query, **options: Any) -> int:
        self._check(query)
        async with self._failpoint("count"):
            return await self.raw.count_documents(query, **options)

    async def aggregate(self, query: Query, *stages: Query) -> list[Document]:
        """What the pipeline returns that begins with a match of `query`."""
        self._check(query)
        async with self._failpoint("aggregate"):
            return await self.raw.aggregate([{"$match": query}, *stages]).to_list(None)

    async def insert_one(self, document: Document) -> None:
        self._check(document)
        async with self._failpoint("insert_one"):
            await self.raw.insert_one(document)

    async def insert_many(self, documents: Sequence[Document], ordered: bool = True) -> None:
        self._check(*documents)
        async with self._failpoint("insert_many"):
            await self.raw.insert_many(documents, ordered=ordered)

    async def insert_missing(self, documents: Sequence[Document]) -> None:
        """Insert the documents that are missing; one that a unique index refuses counts as present."""
        if not documents:
            return
        try:
            await self.insert_many(documents, ordered=False)
        except BulkWriteError as failure:
            errors, lost = failure.details["writeErrors"], failure.details.get("writeConcernErrors")
            if lost or any(error["code"] != DUPLICATE_KEY for error in errors):
                raise

    async def find_one_and_update(
        self, query: Query, update: Update, sort: Sort | None = None, **options: Any
    ) -> Document | None:
        """Update one document that matches and return it as it is afterwards; None when none matches."""
        self._check(query)
        async with self._failpoint("find_one_and_update"):
            found: Document | None = await self.raw.find_one_and_update(
                query, update, sort=sort, return_document=ReturnDocument.AFTER, **options
            )
        return found and self._tidy(found)

    async def update_one(self, query: Query, update: Update, upsert: bool = False) -> int:
        """Returns how many documents matched (0 or 1), which is 0 after an insert by `upsert`."""
        self._check(query)
        async with self._failpoint("update_one"):
            return (await self.raw.update_one(query, update, upsert=upsert)).matched_count

    async def update_many(self, query: Query, update: Update) -> int:
        """Returns how many documents matched."""
        self._check(query)
        async with self._failpoint("update_many"):
            return (await self.raw.update_many(query, update)).matched_count

    async def delete(self, query: Query) -> None:
        """Delete every document that matches."""
        self._check(query)
        async with self._failpoint("delete"):
            await self.raw.delete_many(query)

    async def bulk(self, writes: Sequence[UpdateOne | UpdateMany]) -> None:
        """Apply independent updates in one round trip; one that fails does not stop the others."""
        self._check(*(write._filter for write in writes))
        async with self._failpoint("bulk"):
            await self.raw.bulk_write(writes, ordered=False)

    async def bulk_refusals(self, writes: Sequence[UpdateOne]) -> dict[int, int]:
        """Apply independent updates in one round trip. Returns {place in `writes`: error code} of those that the server
        refuses; empty for no updates."""
        try:
            if writes:
                await self.bulk(writes)
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            return {error["index"]: error["code"] for error in failure.details["writeErrors"]}
        return {}
