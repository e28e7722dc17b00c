"""A change of deals, as an update in two forms.

Update operators are three times as fast; pipeline expressions also work where the CRM left something else than a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import forms_of, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.expressions import fields_or_missing

REFERENCES = frozenset({"tags", "followers"})
"""Lists that may hold a reference as ObjectId or as string: one that is there in either form is there."""


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

    def updates(self) -> list[tuple[Document, Document | list[Document]]]:
        """The updates to try, in this order, each with the deals for which it is meant: the second for those that the
        first did not change, or when the server refuses the first."""
        by_expressions: tuple[Document, list[Document]] = ({}, self.expressions())
        return [by_expressions] if self.compute else [(self._for_operators(), self.operators()), by_expressions]

    def _for_operators(self) -> Document:
        """A filter: no list holds a reference as string that is to be added. The operators would add it once more."""
        texts = {name: [str(one) for one in _ids(name, values)] for name, values in self.add.items()}
        return {name: {"$nin": found} for name, found in texts.items() if found}

    def operators(self) -> Document:
        """The change in update operators.

        The server refuses it for a deal where a field that should be a list is none.
        """
        parts: Document = {
            "$set": dict(self.set),
            "$addToSet": {name: {"$each": _as_stored(name, values)} for name, values in self.add.items()},
            "$pull": {name: {"$in": _in_any_form(name, values)} for name, values in self.remove.items()},
            "$currentDate": {"updatedAt": True},
        }
        return {operator: fields for operator, fields in parts.items() if fields}

    def expressions(self) -> list[Document]:
        """The change as a pipeline. The server refuses it only for a deal that would not be valid as a whole."""
        fields = {name: {"$literal": value} for name, value in self.set.items()}
        fields |= {name: _with(name, values) for name, values in self.add.items()}
        fields |= {name: _without(name, values) for name, values in self.remove.items()}
        stages = [*self._objects_or_refusal(), *self._objects()]
        return [*stages, {"$set": {**fields, **self.compute, "updatedAt": "$$NOW"}}]

    @property
    def parents(self) -> list[str]:
        """The fields below which others are set, the outer ones first."""
        paths = [name.split(".") for name in self.set]
        return sorted({".".join(path[:depth]) for path in paths for depth in range(1, len(path))})

    def _objects_or_refusal(self) -> list[Document]:
        """Stages that the server refuses where a field is to be set below something other than an object: it would
        take the place of a text, and go into every element of a list. Null becomes an object."""
        # The server merges the elements of a list that is the only operand.
        return [{"$set": {name: {"$mergeObjects": [{}, f"${name}"]}}} for name in self.parents]

    def _objects(self) -> list[Document]:
        """The stages that remove what is no object where a field is set below it: in a list, every element would get
        the field."""
        paths = [name.split(".") for name in self.compute]
        outer = {path[0]: fields_or_missing(f"${path[0]}") for path in paths if len(path) > 1}
        inner = {".".join(path[:2]): _no_list(f"${'.'.join(path[:2])}") for path in paths if len(path) > 2}
        return [{"$set": fields} for fields in (outer, inner) if fields]


def list_of(name: str) -> Document:
    """An expression: the list in the field, or an empty one where the CRM left something else."""
    return {"$cond": [{"$isArray": f"${name}"}, f"${name}", []]}


def _no_list(field: str) -> Document:
    return {"$cond": [{"$isArray": field}, "$$REMOVE", field]}


def _ids(name: str, values: Sequence[Any]) -> list[ObjectId]:
    return [id for id in map(object_id, values) if id] if name in REFERENCES else []


def _as_stored(name: str, values: Sequence[Any]) -> list[Any]:
    stored = [object_id(one) or one for one in values] if name in REFERENCES else values
    return list({repr(one): one for one in stored}.values())


def _in_any_form(name: str, values: Sequence[Any]) -> list[Any]:
    return [form for one in values for form in forms_of(one)] if name in REFERENCES else list(values)


def _with(name: str, values: Sequence[Any]) -> Document:
    forms = [{"value": one, "forms": _in_any_form(name, [one])} for one in _as_stored(name, values)]
    absent = {"$eq": [{"$setIntersection": ["$$one.forms", list_of(name)]}, []]}
    missing = {"$filter": {"input": {"$literal": forms}, "as": "one", "cond": absent}}
    return {"$concatArrays": [list_of(name), {"$map": {"input": missing, "in": "$$this.value"}}]}


def _without(name: str, values: Sequence[Any]) -> Document:
    kept = {"$not": {"$in": ["$$one", {"$literal": _in_any_form(name, values)}]}}
    return {"$filter": {"input": list_of(name), "as": "one", "cond": kept}}
