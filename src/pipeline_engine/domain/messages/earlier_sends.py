"""What the sends of a unit before its retry by hand mean for the one that follows, which has a key of its own."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.send_result import is_doubtful


async def carry_over(app: App, account_id: ObjectId, channel: str, key: str, earlier: Sequence[str]) -> bool:
    """Return whether a send under one of the earlier keys went out, so that none must follow.

    Where one may have gone out, the record of the next send, under `key`, says from the start that it may be a second
    copy (`ambiguous`).
    """
    records = await app.shared.effects.records(account_id, earlier) if earlier else {}
    if any(record["state"] == "sent" for record in records.values()):
        return True
    if any(map(is_doubtful, records.values())):
        await app.shared.effects.begin_in_doubt(account_id, channel, [key])
    return False
