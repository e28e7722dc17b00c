"""Finds work that takes longer than it should, and expired leases that no daemon has taken over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, StuckQuestion, longer_ago

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

OVERDUE_SECONDS = 10
"""While a daemon runs, it takes over an expired lease sooner than this."""
MAX_LISTED_IDS = 5
OVERDUE = StuckQuestion(
    "leases that ended and that no daemon took over",
    {"lease_owner": {"$gt": ""}, **longer_ago("$lease_until", OVERDUE_SECONDS)},
)

StuckCounts: TypeAlias = Mapping[tuple[str, str], int]
"""{(collection, problem): number of documents}."""


@dataclass(frozen=True)
class Stuck:
    """Documents of `collection` with the same problem; `ids` are at most `MAX_LISTED_IDS` of `count`."""

    collection: str
    problem: str
    count: int
    ids: list[str]


async def stuck_work(database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]) -> list[Stuck]:
    """The problems that an operator should look at; empty when there are none. Times are the server's."""
    found = [await _ask(database, *question) for question in _questions(specs)]
    return [stuck for stuck in found if stuck.count]


async def count_stuck(database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]) -> StuckCounts:
    """The number of documents with each problem, also where there are none."""
    return {(name, one.problem): await database[name].count_documents(one.query) for name, one in _questions(specs)}


def _questions(specs: Iterable[CollectionSpec]) -> Iterator[tuple[str, StuckQuestion]]:
    for spec in specs:
        yield from ((spec.name, question) for question in (*spec.stuck, *([OVERDUE] if spec.lease else [])))


async def _ask(database: AsyncIOMotorDatabase[Document], collection: str, question: StuckQuestion) -> Stuck:
    rows = database[collection]
    count = await rows.count_documents(question.query)
    some = await rows.find(question.query, projection=["_id"], limit=MAX_LISTED_IDS).to_list(None) if count else []
    return Stuck(collection, question.problem, count, [str(one["_id"]) for one in some])
