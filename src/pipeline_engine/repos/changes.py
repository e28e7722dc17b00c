"""Reports changes that make work due: one change stream over the whole database, filtered on the server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

from pipeline_engine.clock import Clock
from pipeline_engine.errors import Transient
from pipeline_engine.failpoints import failpoint
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, PlaceSpec

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


def became(field: str, value: object) -> tuple[Document, Document]:
    """Filters: a document was inserted with the value in the field, or its field was changed to it."""
    return {f"fullDocument.{field}": value}, {f"updateDescription.updatedFields.{field}": value}


def changed(field: str) -> Document:
    """A filter: the field was changed."""
    return {f"updateDescription.updatedFields.{field}": {"$exists": True}}


def pushed(field: str) -> Document:
    """A filter: something was added to a list. MongoDB names it `<list>.<index>`, which no path reaches."""
    fields = {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}}
    begins = {"$eq": [{"$indexOfCP": ["$$this.k", f"{field}."]}, 0]}
    return {"$expr": {"$anyElementTrue": {"$map": {"input": fields, "in": begins}}}}


INSERTED: Document = {"operationType": "insert"}
DROPS = ["drop", "rename", "dropDatabase"]
"""Events that take a collection's indexes with it."""
AWAIT_SECONDS = 1.0
BATCH = 200

# CursorNotFound; CappedPositionLost, of a cursor that stood still; CursorKilled; ChangeStreamFatalError;
# ChangeStreamHistoryLost.
HISTORY_LOST_CODES = frozenset({43, 136, 237, 280, 286})


class ChangeStreamHistoryLost(Transient):
    """The oplog no longer holds what followed the stream's last event, or the server has ended its cursor; only a new
    stream and a full look help.

    The text is always the same, unlike the server's, so that it is logged once a minute at most.
    """

    def __init__(self) -> None:
        super().__init__(
            "the oplog rolled over before this process read it, or MongoDB ended its cursor: every sweep looks at all "
            "documents once"
        )


@dataclass(frozen=True)
class Change:
    """A document of `collection` became due or, with `dropped`, the collection and its indexes are gone.

    `place` and `at` are None where the spec names no place, or the change does not say which place or when: then the
    whole collection has to be looked at, at once.
    """

    collection: str
    place: Any = None
    at: datetime | None = None
    dropped: bool = False


class Changes:
    """Listens to changes of the specs' collections, one stream at a time."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], clock: Clock, specs: Sequence[CollectionSpec]) -> None:
        self._database = database
        self._clock = clock
        self.pipeline = _pipeline(specs)
        self._places = {spec.name: spec.place for spec in specs if spec.place}
        self._late: dict[str, datetime] = {}
        self._open_since: datetime | None = None

    def complete_since(self, place: Any) -> datetime | None:
        """The time since which no late document has become due in the place unseen; None while no stream is open.

        A late document claims to have become due long before the change. The time is when the last of them was seen, or
        when the stream was opened."""
        if self._open_since is None:
            return None
        return max(self._open_since, self._late.get(str(place), self._open_since))

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Change]]:
        """Open a stream and yield what becomes due from now on.

        Raises: ChangeStreamHistoryLost, and what motor raises when MongoDB is away.
        """
        try:
            async with (
                failpoint("mongo.watch"),
                await self._database.client.start_session() as session,
                await self._open(session) as stream,
            ):
                self._open_since = self._clock.now()
                yield self._due(stream.batch_size(BATCH))
        except OperationFailure as error:
            if error.code not in HISTORY_LOST_CODES:
                raise
            raise ChangeStreamHistoryLost from error
        finally:
            self._open_since = None

    async def _open(self, session: Any) -> Any:
        # Motor's own change stream asks a thread for each single change: 16,000 leads kept it busy for 15 seconds. A
        # cursor asks once for many.
        return await self._database.cursor_command(
            "aggregate",
            pipeline=[{"$changeStream": {}}, *self.pipeline],
            cursor={"batchSize": 0},
            codec_options=self._database.codec_options,
            session=session,
            max_await_time_ms=round(AWAIT_SECONDS * 1000),
        )

    async def _due(self, stream: Any) -> AsyncIterator[Change]:
        while stream.alive:
            async for change in stream:  # until nothing comes for AWAIT_SECONDS
                yield await self._read(change["ns"].get("coll", ""), change)

    async def _read(self, collection: str, change: Mapping[str, Any]) -> Change:
        if change["operationType"] in DROPS:
            return Change(collection, dropped=True)
        if change.get("is_late"):
            await self._note_late(self._places[collection], change)
        at = change.get("due_at")
        return Change(collection, object_id(change.get("place")), at if isinstance(at, datetime) else None)

    async def _note_late(self, spec: PlaceSpec, change: Mapping[str, Any]) -> None:
        place = object_id(change.get("place"))
        if place is None:
            collection = self._database[change["ns"]["coll"]]
            document = await collection.find_one({"_id": change["documentKey"]["_id"]}, projection=[spec.field])
            place = object_id(document.get(spec.field)) if document else None
        self._late[str(place)] = self._clock.now()


WRITES: Document = {"operationType": {"$in": ["insert", "update", "replace"]}}
DROPPED: Document = {"operationType": {"$in": DROPS}}


def _pipeline(specs: Sequence[CollectionSpec]) -> list[Document]:
    clauses: dict[str, list[Document]] = defaultdict(list)
    for spec in specs:
        clauses[spec.name] += spec.wakes
    due = [{"collection": name, "$or": some} for name, some in clauses.items() if some]
    places = [(spec.name, spec.place) for spec in specs if spec.place]
    details = {name: _by_collection(places, name) for name in ("place", "due_at", "is_late")} if places else {}
    return [
        # The server looks for these names in its oplog. It would do so with all that follows as well, which takes it
        # far longer than to look at the changes; a computed field keeps it from that.
        {"$match": {"$or": [{**WRITES, "ns.coll": {"$in": [one["collection"] for one in due]}}, DROPPED]}},
        {"$set": {"collection": {"$concat": ["$ns.coll", ""]}}},
        {"$match": {"$or": [*due, DROPPED]}},
        {"$project": {"ns.coll": 1, "documentKey": 1, "operationType": 1, **details}},
    ]


def _by_collection(places: Sequence[tuple[str, PlaceSpec]], name: str) -> Document:
    branches = [{"case": {"$eq": ["$ns.coll", coll]}, "then": getattr(spec, name)} for coll, spec in places]
    return {"$switch": {"branches": branches, "default": "$$REMOVE"}}
