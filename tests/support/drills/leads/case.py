"""What one lead's runs left in MongoDB, read by pymongo, and outside, as those who received it have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bson import ObjectId

from tests.support.drills.case import Case, Document
from tests.support.drills.leads.outside import Taken

Expected = Literal["replied", "silent", "either"]


@dataclass(frozen=True)
class Stages:
    """The stages of the drill's pipeline, in the order of a lead's way; the last two are where it may end."""

    inquired: ObjectId
    responded: ObjectId
    replied: ObjectId
    silent: ObjectId


@dataclass(frozen=True, kw_only=True)
class LeadCase(Case):
    """Everything about one lead that the checks look at. `changes` are those of its entries."""

    expected: Expected
    stages: Stages
    lead: Document
    entries: list[Document]
    """In the order in which it entered."""
    rows: dict[ObjectId, list[Document]]
    """{entry: its rows in their order}."""
    notes: list[Document]
    effects: list[Document]
    log: list[Taken]

    @property
    def id(self) -> ObjectId:
        return ObjectId(self.lead["_id"])

    def in_doubt(self) -> bool:
        """Whether a message may have gone out without the engine knowing, for which a run may have stopped."""
        return any(one["ambiguous"] for one in self.effects)


def rows_by_entry(rows: Iterable[Document]) -> dict[ObjectId, list[Document]]:
    """The rows of each entry, by their sequence."""
    found: dict[ObjectId, list[Document]] = {}
    for row in sorted(rows, key=lambda row: int(row["sequence_number"])):
        found.setdefault(row["lead_stage_id"], []).append(row)
    return found
