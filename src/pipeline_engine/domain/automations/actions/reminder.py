"""Reminds the owner of the deal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline_engine.domain.automations.action import InsertDocument
from pipeline_engine.domain.automations.automation import Automation, seconds
from pipeline_engine.errors import Permanent


def document(automation: Automation, deal: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    kind = automation.config.get("reminder_type")
    if not isinstance(kind, str) or not kind:
        raise Permanent("the automation has no reminder_type", "bad_automation")
    return {
        "deal_id": deal["_id"],
        "type": kind,
        "title": automation.config.get("title") or f"{kind}: {deal.get('name') or ''}".strip(": "),
        "due_at": now + seconds(automation.config, "due_in"),
        "user_id": deal.get("owner") or deal.get("created_by"),
    }


ACTION = InsertDocument("reminders", document, fields=("name", "owner", "created_by"))
