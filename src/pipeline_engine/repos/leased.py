"""Documents that runs claim: the one place for claim, change, release and the flags of older engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, LeaseSpec
from pipeline_engine.repos.lease import LEASE_EXPIRED, released, unclaimed
from pipeline_engine.repos.store import Store


class Leased:
    """Base of every repo whose documents are claimed. A subclass says what may be claimed and what a claim changes.

    A claim is one update with owner, lease end on the server's clock and a token that grows by one. Every write of the
    holder has the token in its filter and returns None (or False) when another run has claimed the document since.
    """

    spec: ClassVar[CollectionSpec]
    due: ClassVar[Document] = {}
    """What a document must be like to be claimed, besides free."""
    running: ClassVar[Document] = {}
    """What stays true of a document for as long as its run may write to it, besides the token."""
    crashes: ClassVar[str] = "crashes"
    """The field that counts holders whose lease ran out."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(self.spec)
        self._all = self._own.everywhere
        self._lease = store.lease

    @property
    def lease_spec(self) -> LeaseSpec:
        assert self.spec.lease is not None  # noqa: S101 - a fault in the program
        return self.spec.lease

    @property
    def unclaimed(self) -> Document:
        """A filter for documents that neither a run nor an older engine is at work on."""
        return unclaimed(self.lease_spec)

    @property
    def claimable(self) -> Document:
        """A filter for documents that a run may claim."""
        return {"$and": [self.due, self.unclaimed]}

    def claim_changes(self) -> Document:
        """Expressions that a claim sets besides the lease, over the document as it was."""
        return {}

    async def claim(self, id: Any) -> Document | None:
        """Claim the document and return it as it then is; None when it is not due, or another run has it."""
        crashes = {"$add": [{"$ifNull": [f"${self.crashes}", 0]}, {"$cond": [LEASE_EXPIRED, 1, 0]}]}
        flag = {self.lease_spec.flag: True} if self.lease_spec.flag else {}
        claim = self._lease.claim(**{**flag, self.crashes: crashes, **self.claim_changes()})
        return await self._all.take({"_id": id, "$and": [self.claimable]}, claim)

    async def change(self, held: Mapping[str, Any], values: Document, **expressions: Any) -> Document | None:
        """Set literal values and expressions on a document that this run holds; None when another run has it now."""
        # A value may begin with "$"; only what is meant as an expression may be read as one.
        literal = {name: {"$literal": value} for name, value in values.items()}
        return await self._own.take(self._held(held), [{"$set": {**literal, **expressions, "updatedAt": "$$NOW"}}])

    async def release(
        self, held: Mapping[str, Any], values: Document | None = None, **expressions: Any
    ) -> Document | None:
        """Set values and let the next run claim it; returns as `change`."""
        return await self.change(held, {**(values or {}), **released(self.lease_spec)}, **expressions)

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """An attempt failed: release the document for another one, which may begin after so many seconds."""
        await self.release(held, {"error": error})

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """Which attempt a claim is, counted from 1."""
        return int(held["attempts"])

    def crashes_of(self, held: Mapping[str, Any]) -> int:
        """How many holders in a row vanished before this claim."""
        return int(held[self.crashes])

    async def write(self, held: Mapping[str, Any], values: Document) -> bool:
        """`change` by plain operators, for large values; False when another run has it now."""
        update = {"$set": values, "$currentDate": {"updatedAt": True}}
        return await self._own.update_one(self._held(held), update) == 1

    def _held(self, held: Mapping[str, Any]) -> Document:
        mine = {"_id": held["_id"], "account_id": held.get("account_id"), "token": held["token"]}
        return {**mine, **self.running}

    async def get(self, id: Any) -> Document | None:
        return await self._all.find_one({"_id": id})

    async def states(self, ids: Sequence[Any], *fields: str) -> dict[Any, Document]:
        """{_id: the fields asked for} of the documents that are there."""
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=list(fields))
        return {one["_id"]: one for one in found}

    async def note_legacy_flags(self) -> None:
        """Note when a flag without lease and without date was first seen: from then on it counts for its time."""
        if flag := self.lease_spec.flag:
            unseen = {flag: True, "lease_until": None, "updatedAt": None, "flag_seen_at": None}
            await self._all.update_many({**self.due_flagged, **unseen}, [{"$set": {"flag_seen_at": "$$NOW"}}])

    @property
    def due_flagged(self) -> Document:
        """Where `note_legacy_flags` looks: documents that would be due without their flag."""
        return self.due
