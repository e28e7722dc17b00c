"""How long after their due time actions began: what `leads sla` shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.start_delays import counts_of, edges_with
from pipeline_engine.repos.lead_repos import LeadRepos


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


async def delays(app: App[LeadRepos], since: timedelta, account_id: ObjectId | None) -> list[Delays]:
    """The delays of actions that ended within the last `since`, from the beginning of an hour on, by account and type;
    most actions first."""
    edges = edges_with(app.settings.leads_sla_seconds)
    bins: dict[tuple[Any, str], dict[str, int]] = defaultdict(dict)
    longest: dict[tuple[Any, str], float] = defaultdict(float)
    for one in await app.repos.lead_delays.since(app.clock.now() - since, account_id):
        key = one["account_id"], str(one["type"])
        bins[key][one["edge"]] = one["count"]
        longest[key] = max(longest[key], one["longest"])
    found = [Delays(*key, edges, counts_of(some, edges), longest[key]) for key, some in bins.items()]
    return sorted(found, key=lambda one: -one.total)
