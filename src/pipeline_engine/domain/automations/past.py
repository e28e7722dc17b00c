"""What has happened between an automation and a deal, out of logs, units and effects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline_engine.logs import clean

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Past:
    """One thing that was written down. `ambiguous`: it may have gone out twice."""

    at: datetime
    source: str
    """log, unit or effect"""
    state: str
    attempts: int | None = None
    ambiguous: bool = False
    detail: str = ""


def past(units: Iterable[Document], effects: Iterable[Document], logs: Iterable[Document]) -> Sequence[Past]:
    """In the order of time."""
    found = [*map(_unit, units), *map(_log, logs), *(step for effect in effects for step in _effect(effect))]
    return sorted(found, key=lambda one: one.at)


def _unit(unit: Document) -> Past:
    return Past(unit["updatedAt"], "unit", unit["state"], unit["attempts"], detail=clean(str(unit["last_error"])))


def _log(log: Document) -> Past:
    """`success` and `failed` hold at most this deal's entry."""
    at = log.get("updatedAt") or log["createdAt"]
    if log.get("success"):
        return Past(at, "log", "success")
    if failed := log.get("failed"):
        return Past(at, "log", "failed", detail=clean(str(failed[0].get("message"))))
    return Past(at, "log", log.get("state") or "closed", detail="neither done nor failed so far")


def _effect(effect: Document) -> Iterator[Past]:
    """A step for everything in its history; how it stands is told with the last."""
    steps = effect["history"]
    for step in steps[:-1]:
        yield Past(step["at"], "effect", step["state"], detail=effect["channel"])
    told = (effect["channel"], effect.get("provider_id"), effect.get("error"))
    detail = clean(", ".join(str(one) for one in told if one))
    for step in steps[-1:]:
        yield Past(step["at"], "effect", step["state"], effect["attempts"], bool(effect.get("ambiguous")), detail)
