"""The names of units, and the limit on moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.automations.limits import MAX_MOVES, moved_too_often
from pipeline_engine.domain.automations.marks import unit_key

ID, DEAL = ObjectId(), ObjectId()
NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
ENTRY = round(NOW.timestamp() * 1000)


def automation(reentry: str) -> Automation:
    document = {"_id": ID, "type": "note", "account_id": ObjectId(), "stage_id": ObjectId(), "reentry": reentry}
    return read_automation(document)


@pytest.mark.parametrize(
    ("reentry", "stored", "generation"),
    [
        ("once", None, "0"),
        ("once", 2, "2"),
        ("once", {"repeats": 3, "entry": NOW}, "3"),
        ("per_entry", None, f"{ENTRY}"),
        ("per_entry", 2, f"{ENTRY}.2"),
        ("per_entry", {"entry": NOW}, f"{ENTRY}"),
        ("per_entry", {"repeats": 1, "entry": NOW}, f"{ENTRY}.1"),
    ],
)
def test_a_unit_is_named_by_automation_deal_and_generation(reentry: str, stored: Any, generation: str) -> None:
    deal = {"_id": DEAL, "automation_starts": NOW, "automation_generation": {str(ID): stored} if stored else None}
    assert unit_key(automation(reentry), deal) == f"{ID}:{DEAL}:{generation}"


def test_a_deal_that_was_moved_too_often_within_the_window() -> None:
    full = [NOW - timedelta(minutes=MAX_MOVES - n) for n in range(MAX_MOVES)]
    assert moved_too_often({"automation_moves": full}, NOW)
    assert not moved_too_often({"automation_moves": full[1:]}, NOW)
    assert not moved_too_often({"automation_moves": full}, NOW + timedelta(hours=1))
    assert not moved_too_often({}, NOW)
