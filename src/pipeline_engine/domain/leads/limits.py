"""The rate at which an account may act, per type of action: what is over it is due later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline_engine.domain.leads.work import Entry, Results, Slice, Stay
from pipeline_engine.domain.messages.limits import limit_of, spread, within_limit
from pipeline_engine.settings import Settings


def limit_for(settings: Settings, account: Mapping[str, Any], type: str) -> int | None:
    """Actions of the type per minute; None where neither the account nor a setting limits them."""
    own = limit_of(account, type)
    return getattr(settings, f"leads_{type}_limit", None) if own is None else own


async def within(slice: Slice, entries: Sequence[Entry], type: str) -> tuple[Sequence[Entry], Results]:
    """The entries whose action may be performed now, and the results of the others: these are due later, spread over
    the windows behind those that wait already. No attempt is used up, and no place is held."""
    limit = limit_for(slice.app.settings, slice.account, type)
    if limit is None:
        return entries, []
    grant = await within_limit(slice.app, slice.account_id, type, len(entries), limit)
    now = slice.app.clock.now()
    late = entries[grant.units :]
    before = await slice.app.repos.lead_stages.count_later(slice.account_id, slice.lane, type, now) if late else 0
    rests = spread(len(late), grant.after, limit, before)
    return entries[: grant.units], [
        (entry, Stay(replace(entry.position, perform_at=now + rest))) for entry, rest in zip(late, rests, strict=True)
    ]
