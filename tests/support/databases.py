"""Databases of the tests' MongoDB: each is lent to one test at a time, empty and with the engine's indexes."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from pipeline_engine import settings, workers

Document = dict[str, Any]
Shape = dict[str, Any]
SPECS = workers.collections(settings.load(_env_file=None))
INDEXES = {
    name: [*{one.document["name"]: one for spec in SPECS if spec.name == name for one in spec.indexes}.values()]
    for name in {spec.name for spec in SPECS if spec.indexes}
}
"""{collection: its indexes}; several systems may declare one collection."""

MIN_RESTING = 3
"""So many wait before the first is lent again: a write of a daemon that was killed may still be on its way."""


class Databases:
    """Used again with their indexes, which MongoDB takes a third of a second to make and to drop."""

    def __init__(self, url: str) -> None:
        self._mongo: MongoClient[Document] = MongoClient(url)
        # Tests that move the engine's clock into the past write documents that would have expired long ago.
        self._mongo.admin.command("setParameter", 1, ttlMonitorEnabled=False)
        self._resting: deque[str] = deque()
        self._shapes = self._shapes_of(self._made())

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The name of a database of one's own."""
        name = self._resting.popleft() if len(self._resting) > MIN_RESTING else self._made()
        yield name
        self._empty(self._mongo[name])
        self._resting.append(name)

    def close(self) -> None:
        self._mongo.close()

    def _made(self) -> str:
        """A new one; returns its name."""
        name = f"test_{secrets.token_hex(6)}"
        _create_indexes(self._mongo[name], INDEXES)
        return name

    def _empty(self, database: Database[Document]) -> None:
        shapes = self._shapes_of(database.name)
        for name in shapes.keys() & self._shapes.keys():
            if shapes[name] == self._shapes[name]:
                database[name].delete_many({})
            else:
                database.drop_collection(name)
        for name in shapes.keys() - self._shapes.keys():
            database.drop_collection(name)
        _create_indexes(database, [name for name in self._shapes if shapes.get(name) != self._shapes[name]])

    def _shapes_of(self, database: str) -> dict[str, Shape]:
        """{collection: its options and indexes}, in one question instead of one for each collection."""
        mine = {"db": database, "type": "collection", "name": {"$not": {"$regex": "^system"}}}
        fields = {"name": 1, "md.options": 1, "md.indexes.spec": 1}
        found = self._mongo.admin.aggregate([{"$listCatalog": {}}, {"$match": mine}, {"$project": fields}])
        return {one["name"]: _shape(one["md"]) for one in found}


def _create_indexes(database: Database[Document], collections: Iterable[str]) -> None:
    for name in collections:
        database[name].create_indexes(INDEXES[name])


def _shape(stored: Document) -> Shape:
    options = {name: value for name, value in stored["options"].items() if name != "uuid"}
    return {"options": options, "indexes": {one["spec"]["name"]: one["spec"] for one in stored["indexes"]}}
