"""What becomes of a deal, told in two ways: in the server's own operators, which are three times as fast, and in
expressions, which bear with whatever the CRM left where a list should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_engine.repos.client import Document


@dataclass(frozen=True)
class DealChange:
    """Fields that are set, lists that get values or lose them, and fields computed from the deal as it was."""

    set: Mapping[str, Any] = field(default_factory=dict)
    add: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    remove: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    compute: Mapping[str, Any] = field(default_factory=dict)

    def __or__(self, other: DealChange) -> DealChange:
        return DealChange(
            {**self.set, **other.set},
            {**self.add, **other.add},
            {**self.remove, **other.remove},
            {**self.compute, **other.compute},
        )

    def updates(self) -> list[Document | list[Document]]:
        """What to ask the server for: when it refuses the first, the next."""
        return [self.expressions()] if self.compute else [self.operators(), self.expressions()]

    def operators(self) -> Document:
        """Refused when what should be a list is none."""
        parts: Document = {
            "$set": dict(self.set),
            "$addToSet": {name: {"$each": list(values)} for name, values in self.add.items()},
            "$pull": {name: {"$in": list(values)} for name, values in self.remove.items()},
            "$currentDate": {"updatedAt": True},
        }
        return {operator: fields for operator, fields in parts.items() if fields}

    def expressions(self) -> list[Document]:
        """Refused only when the deal as a whole would not be valid."""
        fields = {name: {"$literal": value} for name, value in self.set.items()}
        fields |= {name: _with(name, values) for name, values in self.add.items()}
        fields |= {name: _without(name, values) for name, values in self.remove.items()}
        return [{"$set": {**fields, **self.compute, "updatedAt": "$$NOW"}}]


def list_of(name: str) -> Document:
    """In an expression: the list, whatever the CRM left in its place."""
    return {"$cond": [{"$isArray": f"${name}"}, f"${name}", []]}


def _with(name: str, values: Sequence[Any]) -> Document:
    absent = {"$not": {"$in": ["$$one", list_of(name)]}}
    missing = {"$filter": {"input": {"$literal": list(values)}, "as": "one", "cond": absent}}
    return {"$concatArrays": [list_of(name), missing]}


def _without(name: str, values: Sequence[Any]) -> Document:
    kept = {"$not": {"$in": ["$$one", {"$literal": list(values)}]}}
    return {"$filter": {"input": list_of(name), "as": "one", "cond": kept}}
