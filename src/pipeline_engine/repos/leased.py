"""Claims: the one place where documents are claimed, changed under a claim, and released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pymongo.errors import WriteError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, LeaseSpec
from pipeline_engine.repos.expressions import STRANGE_ACCOUNT, fields_or_missing, whole
from pipeline_engine.repos.lease import LEASE_EXPIRED, released, unclaimed
from pipeline_engine.repos.own_fields import fields
from pipeline_engine.repos.quarantine import NO_ACCOUNT, Quarantine, is_fault_of_document
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.too_large import sized

SEEN_NOW: list[Document] = [{"$set": {"flag_seen_at": "$$NOW"}}]


class Leased:
    """Base of every repo whose documents runs claim. A subclass declares what may be claimed and what a claim changes.

    A claim is one update with owner, lease end on the server's clock and a token that grows by one. Every write of the
    holder has the token in its filter and returns None (or False) when another run has claimed the document since.
    Claims and writes raise TooLarge when they would make the document larger than MongoDB stores.
    """

    spec: ClassVar[CollectionSpec]
    due: ClassVar[Document] = {}
    """A filter that a document must match to be claimed, besides being free."""
    running: ClassVar[Document] = {}
    """A filter that a document matches for as long as its run may write to it, besides the token."""
    crashes: ClassVar[str] = "crashes"
    """The field that counts in a row the holders whose lease ran out."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(self.spec)
        self._all = self._own.everywhere
        self._lease = store.lease
        self._quarantine = Quarantine(store)

    @property
    def lease_spec(self) -> LeaseSpec:
        """The lease of the collection's spec, which a claimed collection always has."""
        assert self.spec.lease is not None  # noqa: S101 - a fault in the program
        return self.spec.lease

    @property
    def unclaimed(self) -> Document:
        """A filter for documents that neither a run nor an older engine holds."""
        return unclaimed(self.lease_spec)

    @property
    def claimable(self) -> Document:
        """A filter for documents that a run may claim."""
        return {"$and": [self.due, self.unclaimed]}

    def claim_changes(self) -> Document:
        """Expressions that a claim sets besides the lease, over the document as it was."""
        return {}

    async def available(self) -> Document:
        """A filter for documents that are not set aside; every query of a sweep contains it."""
        return await self._quarantine.others(self.spec.name)

    async def set_aside(self, id: Any, reason: str) -> None:
        """Put the document into quarantine: it cannot be claimed or ended."""
        await self._quarantine.add(self.spec.name, id, reason)

    async def set_strange_accounts_aside(self, limit: int) -> None:
        """Set due documents aside that name no account: no job of an account reaches them."""
        query = {"$and": [self.due, STRANGE_ACCOUNT, await self.available()]}
        for one in await self._all.find(query, limit=limit, projection=["_id"]):
            await self.set_aside(one["_id"], NO_ACCOUNT)

    async def claim(self, id: Any) -> Document | None:
        """Claim the document and return it as it is afterwards; None when it is not due, or another run holds it."""
        crashes = {"$add": [whole(f"${self.crashes}"), {"$cond": [LEASE_EXPIRED, 1, 0]}]}
        flag = {self.lease_spec.flag: True} if self.lease_spec.flag else {}
        claim = self._lease.claim(**{**flag, self.crashes: crashes, **self.claim_changes()})
        query = {"_id": id, "$and": [self.claimable]}
        with sized(self.spec.name, id):
            return await self._all.find_one_and_update(query, [*self._repair, *claim])

    @property
    def _repair(self) -> list[Document]:
        """The update that empties own fields which should be objects and are none: nothing can be set below a list."""
        objects = [name for name, fits in self.spec.own.items() if fits is fields]
        return [{"$set": {name: fields_or_missing(f"${name}")}} for name in objects]

    async def change(self, held: Mapping[str, Any], values: Document, **expressions: Any) -> Document | None:
        """Set literal values and expressions on a document that this run holds; None when another run has it now."""
        # A value may begin with "$" and must not be read as an expression.
        literal = {name: {"$literal": value} for name, value in values.items()}
        update = [{"$set": {**literal, **expressions, "updatedAt": "$$NOW"}}]
        with sized(self.spec.name, held["_id"]):
            return await self._own.find_one_and_update(self._held(held), update)

    async def release(
        self, held: Mapping[str, Any], values: Document | None = None, **expressions: Any
    ) -> Document | None:
        """Set values and release the document, so that the next run can claim it; returns as `change`."""
        return await self.change(held, {**(values or {}), **released(self.lease_spec)}, **expressions)

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Release the document after a failed attempt; the next may begin after `seconds`, where the subclass stores
        that."""
        await self.release(held, {"error": error})

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """Which attempt a claim is, counted from 1."""
        return int(held["attempts"])

    def crashes_of(self, held: Mapping[str, Any]) -> int:
        """How many holders in a row let their lease run out before this claim."""
        return int(held[self.crashes])

    async def write(self, held: Mapping[str, Any], values: Document) -> bool:
        """As `change`, with update operators, which suit large values; False when another run has the document now."""
        update = {"$set": values, "$currentDate": {"updatedAt": True}}
        with sized(self.spec.name, held["_id"]):
            return await self._own.update_one(self._held(held), update) == 1

    def _held(self, held: Mapping[str, Any]) -> Document:
        # `$eq`, because an account of any type must match: an object could be read as operators.
        mine = {"_id": held["_id"], "account_id": {"$eq": held.get("account_id")}, "token": held["token"]}
        return {**mine, **self.running}

    async def get(self, id: Any) -> Document | None:
        """The document of any account, claimed or not; None when there is none."""
        return await self._all.find_one({"_id": id})

    async def states(self, ids: Sequence[Any], *fields: str) -> dict[Any, Document]:
        """{_id: document with these fields} of the documents that exist."""
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=list(fields))
        return {one["_id"]: one for one in found}

    async def note_legacy_flags(self) -> None:
        """Store when a flag without a lease and without `updatedAt` was first seen, so that it counts from then on."""
        if flag := self.lease_spec.flag:
            unseen = {flag: True, "lease_until": None, "updatedAt": None, "flag_seen_at": None}
            try:
                await self._all.update_many({**self.due_flagged, **unseen}, SEEN_NOW)
            except WriteError:
                await self._note_one_by_one({**self.due_flagged, **unseen})

    async def _note_one_by_one(self, query: Document) -> None:
        """One document that cannot be changed, being too large, must not keep the others from being noted."""
        for one in await self._all.find({"$and": [query, await self.available()]}, projection=["_id"]):
            try:
                await self._all.update_one({"_id": one["_id"]}, SEEN_NOW)
            except WriteError as error:
                if not is_fault_of_document(error):
                    raise
                await self.set_aside(one["_id"], f"cannot be changed: {error}")

    @property
    def due_flagged(self) -> Document:
        """A filter for the documents that `note_legacy_flags` reads: those that would be due without their flag."""
        return self.due
