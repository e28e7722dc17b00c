"""What the sends of a unit before its retry by hand mean for the one that follows, which has a key of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App


async def carry_over(app: App, account_id: ObjectId, channel: str, key: str, earlier: Sequence[str]) -> bool:
    """Return whether a send under one of the earlier keys went out, so that none must follow.

    Where one may have gone out, the record of the next send, under `key`, says from the start that it may be a second
    copy (`ambiguous`).
    """
    records = await app.shared.effects.records(account_id, earlier) if earlier else {}
    if any(record["state"] == "sent" for record in records.values()):
        return True
    if any(map(may_be_sent, records.values())):
        await app.shared.effects.plan_ambiguous(account_id, key, channel)
    return False


def may_be_sent(record: Mapping[str, Any]) -> bool:
    """Whether any attempt of the record may have gone out without the engine knowing. Pure."""
    return record["state"] in ("sending", "unknown") or bool(record.get("ambiguous"))
