"""Names a unit: this automation, for this deal, this time round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.domain.automations.automation import Automation


def unit_key(automation: Automation, deal: Mapping[str, Any]) -> str:
    """`<automation>:<deal>:<generation>`. The generation is 0 and grows with every repeat that is asked for;
    under `per_entry` it begins with the time of entry."""
    stored = (deal.get("automation_generation") or {}).get(str(automation.id), 0)
    repeats = stored.get("repeats", 0) if isinstance(stored, Mapping) else stored
    if automation.reentry == "once":
        return f"{automation.id}:{deal['_id']}:{repeats}"
    entry = round(deal["automation_starts"].timestamp() * 1000)
    return f"{automation.id}:{deal['_id']}:{entry}" + (f".{repeats}" if repeats else "")
