"""How long after their due time actions began: figures for `leads sla`. Pure, but for the question to MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.repos.lead_repos import LeadRepos

EDGES = (1.0, 5.0, 30.0, 600.0)
"""Seconds: upper ends of the histogram's bins, beside the aim; the last bin has none."""


@dataclass(frozen=True)
class Delays:
    """The actions of one account and type. `counts` has one number for each of `edges`, and one for what was later."""

    account_id: Any
    type: str
    edges: Sequence[float]
    counts: Sequence[int]
    longest: float
    """Seconds."""

    @property
    def total(self) -> int:
        """How many actions began."""
        return sum(self.counts)

    def later_than(self, edge: float) -> int:
        """How many began later than this edge."""
        return sum(self.counts[list(self.edges).index(edge) + 1 :])

    def within(self, share: float) -> float | None:
        """The edge within which this share of the actions began; None when it lies behind the last edge."""
        needed = share * self.total
        reached = 0
        for edge, count in zip(self.edges, self.counts, strict=False):
            reached += count
            if reached >= needed:
                return edge
        return None


def edges_with(aim: float) -> list[float]:
    """The edges of the histogram: one of them is the aim."""
    return sorted({*EDGES, aim})


async def delays(app: App[LeadRepos], since: timedelta, account_id: ObjectId | None) -> list[Delays]:
    """The delays of actions that were performed within the last `since`, by account and type; most actions first."""
    edges = edges_with(app.settings.leads_sla_seconds)
    found = await app.repos.lead_records.delays(app.clock.now() - since, edges, account_id)
    return [Delays(one["account_id"], str(one["type"]), edges, one["counts"], float(one["longest"])) for one in found]
