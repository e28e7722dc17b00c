"""What the sends of units before their retry by hand mean for those that follow, each of which has a key of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.send_result import is_doubtful

MAX_EARLIER_SENDS = 100
"""Of very many retries only the latest count."""


def send_keys(key: str, retries: int) -> list[str]:
    """The keys under which `effects` has a send and its retries by hand, the present one last."""
    return [f"{key}.{n}" if n else key for n in range(max(0, retries - MAX_EARLIER_SENDS), retries + 1)]


async def carry_over(app: App, account_id: ObjectId, channel: str, earlier: Mapping[str, Sequence[str]]) -> set[str]:
    """Return for which keys a send under one of their earlier keys went out, of {key: its earlier keys}.

    Where one may have gone out, the record of the next send, under the key, says from the start that it may be a second
    copy (`ambiguous`).
    """
    wanted = [one for keys in earlier.values() for one in keys]
    records = await app.shared.effects.records(account_id, wanted) if wanted else {}
    sent = {key for key, keys in earlier.items() if any(_state(records, one) == "sent" for one in keys)}
    doubtful = {one for one, record in records.items() if is_doubtful(record)}
    if in_doubt := [key for key, keys in earlier.items() if key not in sent and doubtful & {*keys}]:
        await app.shared.effects.begin_in_doubt(account_id, channel, in_doubt)
    return sent


def _state(records: Mapping[str, Mapping[str, Any]], key: str) -> object:
    return records.get(key, {}).get("state")
