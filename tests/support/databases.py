"""Databases of the tests' MongoDB: each is lent to one test at a time, and empty when it is lent."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from pipeline_engine import settings, workers

Document = dict[str, Any]
Shape = dict[str, Any]

RESTING = 3
"""So many wait before the first is lent again: a write of a daemon that was killed may still be on its way."""


class Databases:
    """Used again with the engine's indexes, which MongoDB takes a third of a second to make and to drop."""

    def __init__(self, url: str) -> None:
        self._mongo: MongoClient[Document] = MongoClient(url)
        self._resting: deque[str] = deque()
        self._shapes = self._made("shape")

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The name of a database of one's own."""
        name = self._resting.popleft() if len(self._resting) > RESTING else f"test_{secrets.token_hex(6)}"
        yield name
        self._empty(self._mongo[name])
        self._resting.append(name)

    def close(self) -> None:
        self._mongo.close()

    def _made(self, name: str) -> dict[str, Shape]:
        """What the engine's collections look like with their indexes and nothing else."""
        database = self._mongo[f"test_{name}_{secrets.token_hex(6)}"]
        for spec in workers.collections(settings.load(_env_file=None)):
            if spec.indexes:
                database[spec.name].create_indexes(list(spec.indexes))
        return _shapes(database)

    def _empty(self, database: Database[Document]) -> None:
        for name, shape in _shapes(database).items():
            if shape == self._shapes.get(name):
                database[name].delete_many({})
            else:
                database.drop_collection(name)


def _shapes(database: Database[Document]) -> dict[str, Shape]:
    """{collection: its options and indexes}."""
    found = {one["name"]: one["options"] for one in database.list_collections() if one["type"] == "collection"}
    return {
        name: {"options": options, "indexes": database[name].index_information()} for name, options in found.items()
    }
