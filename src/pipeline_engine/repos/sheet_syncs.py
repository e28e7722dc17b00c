"""Forms with a Google sheet, and what was seen of each sheet at the last look.

A document of `sheet_syncs` has the `_id` of its form. One update, guarded by `version`, stores the rows that were seen
and, in `pending`, those from which submissions have still to be made: so a crash loses none and makes none twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from bson import Binary, ObjectId

from pipeline_engine.errors import Permanent
from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.id_pages import FIRST_TEXT, Place, read_page
from pipeline_engine.repos.own_fields import listing, number, text
from pipeline_engine.repos.store import Store

PRINT_BYTES = 8
MAX_FORMS = 100
"""Of one page."""
MAX_ROWS_BYTES = 6_000_000
"""Of the rows and headers that are kept of a sheet; with those pending they must fit into one document."""

SHEET_SYNCS = CollectionSpec(
    "sheet_syncs",
    indexes=(index("account_id"),),
    own={"version": number, "pending": listing, "headers": listing, "digest": text, "error": text},
)

SETTINGS: Document = {"$type": "object", "$not": {"$type": "array"}}
"""What `google_sheet` of a form must be; the type alone also matches a list of objects."""

Seen = Sequence[tuple[str, Sequence[bytes]]]
"""(key, hashes of 8 bytes) of each row, in the order of the sheet."""


class SheetSyncs:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(SHEET_SYNCS)
        self._forms = store.collection("forms")

    async def accounts(self) -> set[ObjectId]:
        """The accounts with a form that has a sheet."""
        query = {"google_sheet": SETTINGS}
        found = await self._forms.everywhere.aggregate(query, {"$group": {"_id": "$account_id"}})
        return {id for one in found if (id := object_id(one["_id"]))}

    async def forms(self, account_id: ObjectId, after: Place = FIRST_TEXT) -> list[Document]:
        """`{_id, account_id, google_sheet}` of the account's next forms with a sheet; none at the end."""
        query: Document = {"account_id": either(account_id), "google_sheet": SETTINGS}
        return await read_page(self._forms, query, "_id", after, MAX_FORMS, ["account_id", "google_sheet"])

    async def get(self, account_id: ObjectId, form_id: Any) -> Document:
        """What is stored about the form's sheet; made when there is nothing yet."""
        query = {"_id": form_id, "account_id": account_id}
        if found := await self._own.find_one(query):
            return found
        await self._own.insert_missing([{**query, "version": 0, "pending": []}])
        return await self._own.find_one(query) or {**query, "version": 0}

    async def save(
        self,
        sync: Mapping[str, Any],
        seen: Seen,
        pending: Sequence[Document],
        digest: str,
        headers: Sequence[str],
    ) -> bool:
        """Store the rows seen and those pending; False when another run has stored something since `sync` was read.

        `digest`: of the whole sheet, when all of its rows are among those seen; else ''. `headers`: those under which
        the rows are known. Raises: Permanent `too_large`.
        """
        rows = Binary(pack(seen))
        if len(rows) + sum(len(name.encode()) for name in headers) > MAX_ROWS_BYTES:
            raise Permanent(f"the sheet has too many rows ({len(seen):,}): name a smaller range", "too_large")
        known = {"rows": rows, "headers": list(headers), "digest": digest}
        return await self._set(sync, {**known, "pending": list(pending), "error": None})

    async def settle(self, sync: Mapping[str, Any]) -> bool:
        """Empty `pending`: its submissions are made. Returns as `save`."""
        return await self._set(sync, {"pending": []})

    async def set_error(self, account_id: ObjectId, form_id: Any, error: str | None) -> None:
        """Store why the sheet could not be read."""
        change = {"$set": {"error": error}, "$currentDate": {"updatedAt": True}}
        await self._own.update_one({"_id": form_id, "account_id": account_id}, change)

    async def _set(self, sync: Mapping[str, Any], values: Document) -> bool:
        query = {"_id": sync["_id"], "account_id": sync["account_id"], "version": {"$eq": sync.get("version")}}
        version = {"version": int(sync.get("version") or 0) + 1}
        change = {"$set": {**values, **version}, "$currentDate": {"updatedAt": True}}
        return await self._own.update_one(query, change) == 1


def pack(seen: Seen) -> bytes:
    """The rows in few bytes: a sheet may have many."""
    return msgspec.msgpack.encode([[key, b"".join(prints)] for key, prints in seen])


def unpack(stored: object) -> list[tuple[str, list[bytes]]]:
    """The rows of `pack`; none where something else is stored, so that the sheet is read anew."""
    if not isinstance(stored, bytes):
        return []
    try:
        rows = msgspec.msgpack.decode(stored, type=list[tuple[str, bytes]])
    except msgspec.MsgspecError:
        return []
    steps = range(0, 8 * 18_278, PRINT_BYTES)  # as many cells as a row of a sheet has at most
    return [(key, [one[at : at + PRINT_BYTES] for at in steps[: len(one) // PRINT_BYTES]]) for key, one in rows]
