"""Writes a note on the deal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline_engine.domain.automations.action import InsertDocument
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.errors import Permanent


def document(automation: Automation, deal: Mapping[str, Any], _now: datetime) -> dict[str, Any]:
    text = automation.config.get("note")
    if not isinstance(text, str) or not text.strip():
        raise Permanent("the automation has no note", "bad_automation")
    return {"deal_id": deal["_id"], "text": text, "created_by": automation.created_by}


ACTION = InsertDocument("notes", document)
