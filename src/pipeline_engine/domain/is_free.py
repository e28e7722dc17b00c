"""Whether somebody has what is to be run: under a lease, or flagged by an engine that has no leases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline_engine.domain.explanation import Condition, Next
from pipeline_engine.repos.collection_spec import LEGACY_FLAG_COUNTS


def is_free(name: str, document: Mapping[str, Any], now: datetime) -> Condition:
    """`name` of the condition, for a leased document that shows its run by `in_progress`."""
    until = document.get("lease_until")
    if until is not None:
        who = f"{document.get('lease_owner')}, lease until {until:%H:%M:%S} UTC"
        running = Next("runs", now, f"{who}; should that process vanish, another one takes over then")
        return Condition(name, who if until >= now else f"{who}: run out", until < now, running)
    sign = document.get("updatedAt") or document.get("flag_seen_at")
    if document.get("in_progress") is not True or (sign and sign <= now - LEGACY_FLAG_COUNTS):
        return Condition(name, "nobody", True)
    waits = Next("waits", sign + LEGACY_FLAG_COUNTS if sign else None, "for another engine's in_progress")
    return Condition(name, "in_progress without a lease", False, waits)
