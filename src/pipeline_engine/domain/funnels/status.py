"""How a clone stands, in one word. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Status = Literal["waiting", "resting", "running", "cancelling", "completed", "failed", "cancelled", "not a clone"]


def status_of(funnel: Mapping[str, Any]) -> Status:
    """`resting`: a run failed, the next one comes later."""
    clone = funnel.get("clone") or {}
    if clone.get("cancel_requested"):
        return "cancelling"
    if funnel.get("in_progress"):
        return "running"
    if funnel.get("pending"):
        return "resting" if clone.get("next_at") else "waiting"
    if not clone.get("finished_at"):
        return "not a clone"
    if clone.get("error") == "cancelled":
        return "cancelled"
    return "failed" if clone.get("error") else "completed"
