"""Waits for a reply of the lead: goes on, moves or stops when one comes, or when none has come in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from pipeline_engine.domain.leads.config import ResponseConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.responses import first_reply
from pipeline_engine.domain.leads.work import Document, Entry, Result, Results, Slice, Stay, taken

REPLIED, TIMED_OUT = "replied", "no reply in time"


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, ResponseConfig)
    replies = await _replies(slice, entries)
    now = slice.app.clock.now()
    yield [(entry, _result(entry, config, replies.get(str(entry.document["lead_id"]), []), now)) for entry in entries]


def _result(entry: Entry, config: ResponseConfig, replies: Sequence[Document], now: datetime) -> Result:
    """A reply wins over a time-out of the same moment: a person who wrote is not treated as silent."""
    if first_reply(replies, config, _since(entry)):
        return taken(config.on_response, REPLIED)
    return taken(config.on_timeout, TIMED_OUT) if entry.position.perform_at <= now else Stay()


async def _replies(slice: Slice, entries: Sequence[Entry]) -> dict[str, list[Document]]:
    """{lead: its responses since the earliest of the waits began}."""
    leads = [form for entry in entries for form in {entry.document["lead_id"], entry.lead["_id"]}]
    found = await slice.app.repos.lead_responses.since(slice.account_id, leads, min(map(_since, entries)))
    by_lead: dict[str, list[Any]] = defaultdict(list)
    for response in found:
        by_lead[str(response["lead_id"])].append(response)
    return by_lead


def _since(entry: Entry) -> datetime:
    """When the action before the wait started: a reply that came since then counts."""
    one = entry.document
    since: datetime = one.get("response_since") or one.get("started_at") or one["perform_at"]
    return since
