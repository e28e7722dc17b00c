"""How mutants ended: by their documents, and by whether a sweep of the engine still finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.database import Database

from pipeline_engine.app import App
from pipeline_engine.workers import SYSTEMS
from tests.support.fuzz.mutant import Mutant
from tests.support.fuzz.rows import Row

Document = dict[str, Any]
Counts = tuple[Any, ...]


class Judge:
    """Looks at the database for itself; asks the engine only what its sweeps find."""

    def __init__(self, db: Database[Document], app: App) -> None:
        self._db, self._app = db, app

    async def open_of(self, mutants: Sequence[Mutant]) -> list[Mutant]:
        """Those that have neither ended nor been set aside, or that a sweep finds."""
        found = await self._found()
        by_row: dict[str, list[Mutant]] = {}
        for mutant in mutants:
            by_row.setdefault(mutant.row.name, []).append(mutant)
        still = [one for some in by_row.values() for one in self._open_of_row(some[0].row, some)]
        return [one for one in mutants if one in still or self._is_found(one, found)]

    def _is_found(self, mutant: Mutant, found: set[str]) -> bool:
        """Systems find units, or accounts with units."""
        return bool({str(mutant.id), str(mutant.account)} & found) and not self._may_wait(mutant)

    def _may_wait(self, mutant: Mutant) -> bool:
        """Whether the contract lets the unit stay open."""
        holders = [(name, document["_id"]) for name, document in mutant.entries if name == mutant.row.held_by]
        if any(self._is_aside(name, id) for name, id in holders):
            return True
        query = mutant.row.waits_for
        return query is not None and self._db["_accounts"].count_documents({"_id": mutant.account, **query}) > 0

    def _open_of_row(self, row: Row, mutants: Sequence[Mutant]) -> list[Mutant]:
        query = {"$and": [{"_id": {"$in": [one.id for one in mutants]}}, row.is_open]}
        ids = [repr(one["_id"]) for one in self._db[row.collection].find(query, projection=["_id"])]
        return [one for one in mutants if repr(one.id) in ids and not self._set_aside(one) and not self._may_wait(one)]

    def _set_aside(self, mutant: Mutant) -> bool:
        return self._is_aside(mutant.row.collection, mutant.id)

    def _is_aside(self, collection: str, id: Any) -> bool:
        return self._db["quarantine"].count_documents({"collection": collection, "document_id": {"$eq": id}}) > 0

    async def _found(self) -> set[str]:
        """The ids of all units that the sweeps of all systems find."""
        ids: set[str] = set()
        for system in SYSTEMS:
            app = self._app.with_repos(system.open_repos)
            for sweep in system.sweeps:
                ids.update(unit.id.rpartition(":")[2] for unit in await sweep.find(app))
        return ids

    def outcome(self, mutant: Mutant) -> str:
        """In one word. Raises: AssertionError for a unit that failed without a reason."""
        if self._set_aside(mutant):
            return "quarantined"
        row = mutant.row
        failed = {"$and": [{"_id": {"$eq": mutant.id}}, row.failed]}
        unit = self._db[row.collection].find_one(failed, projection=list(row.reasons)) if row.failed else None
        if unit is None:
            return "ended"
        assert any(_at(unit, name) for name in row.reasons), "failed without a reason"
        return "failed"

    def counts(self, mutant: Mutant) -> Counts:
        """All that would grow if the unit was still tried; nothing when it is gone, as a mutant may have expired."""
        row = mutant.row
        unit = self._db[row.collection].find_one({"_id": {"$eq": mutant.id}}, projection=list(row.counts))
        if unit is None:
            return ()
        jobs = (str(one["job_id"]) for one in self._db["dead_letters"].find({}, projection=["job_id"]))
        letters = sum(job.endswith(str(mutant.id) or "no job names it") for job in jobs)
        entry = self._db["quarantine"].find_one({"document_id": {"$eq": mutant.id}}) or {}
        return (*(repr(_at(unit, name)) for name in row.counts), letters, entry.get("count"))

    def remove(self, mutant: Mutant) -> None:
        """Remove all that stands in the database because of the mutant, so that its number does not matter."""
        for collection, document in mutant.entries:
            self._db[collection].delete_one({"_id": {"$eq": document["_id"]}})
        for collection in self._db.list_collection_names():
            self._db[collection].delete_many({"account_id": mutant.account})
        self._db["quarantine"].delete_many({"document_id": {"$eq": mutant.id}})


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
