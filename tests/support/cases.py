"""The situations of tests/cases, each with what belongs into MongoDB and what a user expects to come of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from tests.support.automations import ago

FOLDER = Path(__file__).parents[1] / "cases"
Document = dict[str, Any]


def oid(kind: str, number: int = 1) -> ObjectId:
    """The id of a document of the cases: `a` account, `b` user, `c` stage, `e` automation, `f` deal."""
    return ObjectId(f"66b0000000000000{kind:0>2}{number:06x}")


def read(case: str, file: str = "expected.json") -> Any:
    return json.loads((FOLDER / case / file).read_text())


def data(case: str, file: str) -> bytes:
    return (FOLDER / case / file).read_bytes()


def plant(case: str, db: Database[Document], **changes: Document) -> None:
    """Put the documents of the case into the database; `changes` are set in every document of a collection."""
    for collection, documents in read(case, "setup.json").items():
        plain = [{**_plain(one), **changes.get(collection, {})} for one in documents]
        if plain:
            db[collection].insert_many(plain)


def _plain(value: Any) -> Any:
    """`$oid` and `$ago` as values."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$oid" in value:
        return ObjectId(value["$oid"])
    return ago(seconds=value["$ago"]) if "$ago" in value else {name: _plain(one) for name, one in value.items()}
