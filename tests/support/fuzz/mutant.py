"""Mutants: the documents of one valid unit, of an account of its own, one of them mutated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from bson import ObjectId
from pymongo.database import Database
from pymongo.results import InsertOneResult

from tests.support.fuzz.event_rows import HOOK_URL
from tests.support.fuzz.mutation import Mutation, mutate
from tests.support.fuzz.rows import Row
from tests.support.world import World

Document = dict[str, Any]
Upload = Callable[[str, "str | bytes"], str]


class _Paper:
    """In place of a database: keeps what is inserted."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Document]] = []

    def __getitem__(self, name: str) -> _Sheet:
        return _Sheet(self, name)


class _Sheet:
    def __init__(self, paper: _Paper, name: str) -> None:
        self._paper, self._name = paper, name

    def insert_one(self, document: Document) -> InsertOneResult:
        made = {"_id": ObjectId(), **document}
        self._paper.entries.append((self._name, made))
        return InsertOneResult(made["_id"], True)

    def replace_one(self, query: Document, document: Document, upsert: bool) -> None:
        assert upsert
        self.insert_one({**query, **document})


class DrawnWorld(World):
    """A world on paper: whatever support code inserts into its database is kept, to be mutated."""

    def __init__(self, upload: Upload, hook_url: str) -> None:
        self._paper = _Paper()
        self.db = cast("Database[Document]", self._paper)
        self.account, self.user, self.pipeline, self.stage = ObjectId(), ObjectId(), ObjectId(), ObjectId()
        self._upload = upload
        self.environment = {HOOK_URL: hook_url}
        self.db["_accounts"].insert_one({"_id": self.account, "active": True, "name": "Acme", "timezone": "UTC"})
        self.db["users"].insert_one({"_id": self.user, "account": self.account, "active": True})
        self.db["pipelines"].insert_one({"_id": self.pipeline, "account_id": self.account, "name": "Sales"})

    def upload(self, key: str, body: str | bytes) -> str:
        return self._upload(key, body)

    @property
    def entries(self) -> list[tuple[str, Document]]:
        """(collection, document), in the order in which they were inserted."""
        return self._paper.entries


@dataclass(frozen=True)
class Mutant:
    """What is to be inserted, and what is strange about it."""

    number: int
    row: Row
    account: ObjectId
    id: Any
    """Of the unit."""
    entries: Sequence[tuple[str, Document]]
    """The unit comes last, so that all that it needs is there when it is found."""
    mutated: str
    """The collection of the mutated document."""
    mutations: Sequence[Mutation]

    def __str__(self) -> str:
        said = "; ".join(map(str, self.mutations))
        return f"mutant {self.number}: {self.row.name} {self.id!r}, {self.mutated}: {said}"


def draw(
    number: int, rows: Sequence[Row], seed: str, upload: Upload, hook_url: str, own: Mapping[str, Sequence[str]]
) -> Mutant:
    """Mutant `number` of a run; the same in every run with this seed, but for ids and times.

    `hook_url`: of an endpoint that accepts everything. `own`: {collection: fields that only the engine writes}.
    """
    rng = Random(f"{seed}:{number}")  # noqa: S311 - not for secrets
    row = rng.choice(rows)
    world = DrawnWorld(upload, hook_url)
    planted = row.plant(world, rng)
    entries = sorted(world.entries, key=lambda entry: entry[1]["_id"] == planted)
    # The unit itself, or another document of the row, is mutated as often as all that stands around it.
    favoured = [n for n, (name, _) in enumerate(entries) if name == row.subject] or [len(entries) - 1]
    at = rng.choice([*range(len(entries)), *[rng.choice(favoured)] * (len(entries) - 1)])
    collection, document = entries[at]
    mutant, mutations = mutate(document, [*own.get(collection, ()), *row.own.get(collection, ())], rng)
    entries[at] = (collection, mutant)
    return Mutant(number, row, world.account, entries[-1][1]["_id"], entries, collection, mutations)
