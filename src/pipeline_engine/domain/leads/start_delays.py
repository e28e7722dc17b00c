"""Counts how late actions began, for the histogram that `leads sla` shows."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.leads.config import READERS
from pipeline_engine.repos.lead_delays import LeadDelays

EDGES = (1.0, 5.0, 30.0, 600.0)
"""Seconds: upper ends of the histogram's bins, beside the aim; the last bin has none."""
LATER = "later"
"""The bin behind the last edge."""


def edges_with(aim: float) -> list[float]:
    """The edges of the histogram: one of them is the aim. Pure."""
    return sorted({*EDGES, aim})


class StartDelays:
    """The delays of one account's actions that have ended and are not stored yet; a crash loses these counts only."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges
        self._bins: dict[str, Counter[str]] = defaultdict(Counter)
        self._longest: dict[str, float] = defaultdict(float)

    def note(self, entry: Mapping[str, Any], started: datetime | None) -> None:
        """An action ended at which the entry stood until now; it had started then.

        A reply ends a wait before its time-out, or as soon as the wait begins, and an action that failed is due later
        again: none of them is late."""
        due = usable_date(entry.get("perform_at"))
        type = str(entry.get("current_type"))
        type = type if type in READERS else "unknown"
        seconds = max(0.0, (started - due).total_seconds()) if started and due else 0.0
        self._bins[type][bin_of(seconds, self._edges)] += 1
        self._longest[type] = max(self._longest[type], seconds)

    async def store(self, repo: LeadDelays, account_id: ObjectId) -> None:
        """Add what was noted to what is stored, and begin anew."""
        if self._bins:
            bins, longest = self._bins, self._longest
            self._bins, self._longest = defaultdict(Counter), defaultdict(float)
            await repo.add(account_id, bins, longest)


def bin_of(seconds: float, edges: Sequence[float]) -> str:
    """The name of the bin: its upper edge in milliseconds. Pure."""
    place = bisect_left(edges, seconds)
    return f"{edges[place] * 1000:.0f}" if place < len(edges) else LATER


def counts_of(bins: Mapping[str, int], edges: Sequence[float]) -> list[int]:
    """One number for each edge and one for what was later. A bin that was counted under another aim counts for the
    next edge above it. Pure."""
    counts = [0] * (len(edges) + 1)
    for name, count in bins.items():
        place = bisect_left(edges, int(name) / 1000) if name.isdecimal() else len(edges)
        counts[place] += count
    return counts
