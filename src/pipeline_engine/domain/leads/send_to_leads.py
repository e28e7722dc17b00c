"""Sends one message to each of many leads; how each send ended is known as soon as it has ended, so that one slow
call does not hold up the others."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import random
from typing import TypeVar

from bson import ObjectId

from pipeline_engine.domain.leads.ending import ends_run
from pipeline_engine.domain.leads.jobs import ACTING
from pipeline_engine.domain.leads.schedule import Position, RunEnd
from pipeline_engine.domain.leads.wake_others import wake_others
from pipeline_engine.domain.leads.work import Closed, Entry, Performed, Result, Results, Slice, Stay, failed
from pipeline_engine.domain.messages.compose import Texts
from pipeline_engine.domain.messages.earlier_sends import carry_over, send_keys
from pipeline_engine.domain.messages.merge_fields import MergeRecords
from pipeline_engine.domain.messages.message import Deliver, Message, senders
from pipeline_engine.domain.messages.send_result import (
    Delivered,
    GivenUp,
    HeldBack,
    Limited,
    NotYet,
    SendResult,
    rest_after,
)
from pipeline_engine.domain.messages.sending_results import sending_results
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import RACE_SECONDS, Backoff
from pipeline_engine.providers.renderer import NotRendered
from pipeline_engine.repos.messages import Channel

PLACES = 5
"""Calls of one job at a time: at most so many sends are in doubt after a kill."""

AnyMessage = TypeVar("AnyMessage", bound=Message)
Compose = Callable[..., Awaitable[list[AnyMessage | NotRendered]]]


async def send_to_leads(
    slice: Slice, entries: Sequence[Entry], channel: Channel, template: Texts, compose: Compose[AnyMessage]
) -> AsyncIterator[Results]:
    """Send to each of the leads what `compose` makes of the template."""
    records: list[MergeRecords] = [{"lead": lead} for lead in await _leads(slice, entries)]
    source = f"lead_stage:{entries[0].document.get('stage_id')}"
    messages = senders(slice.app, await compose(slice.app, slice.account_id, template, records, source))
    units = dict(zip(map(unit_key, entries), messages, strict=True))
    if crashed := [unit_key(entry) for entry in entries if entry.document.get("crashes")]:
        await slice.app.shared.effects.mark_unknown(slice.account_id, crashed)
    sent = await _sent_before(slice, entries, channel)
    by_key = {unit_key(entry): entry for entry in entries}
    if sent:
        yield [(by_key.pop(key), Performed()) for key in sent]
    if refused := [by_key.pop(key) for key, unit in units.items() if key in by_key and _is_suppressed(unit)]:
        yield await _left_out(slice, refused)
    async for results in _as_they_end(slice, by_key, channel, {key: units[key] for key in by_key}):
        yield results


def unit_key(entry: Entry) -> str:
    """The key under which `effects` has the send; `leads retry` makes it another one."""
    return _unit_keys(entry)[-1]


def _unit_keys(entry: Entry) -> list[str]:
    """The keys of the send and of those before its retries, the present one last."""
    repeats, key = entry.document.get("repeats"), f"lead:{entry.id}:{entry.sequence}"
    return send_keys(key, repeats) if isinstance(repeats, int) and repeats > 0 else [key]


async def _sent_before(slice: Slice, entries: Sequence[Entry], channel: Channel) -> set[str]:
    """The keys of the leads that got the message before an operator had it retried. Where that is in doubt, the next
    send is recorded as a possible second copy."""
    earlier = {keys[-1]: keys[:-1] for keys in map(_unit_keys, entries) if len(keys) > 1}
    return await carry_over(slice.app, slice.account_id, channel, earlier)


def _is_suppressed(unit: Deliver | Exception) -> bool:
    return isinstance(unit, Permanent) and unit.code == "suppressed"


async def _left_out(slice: Slice, entries: Sequence[Entry]) -> Results:
    """How the action ends for leads that must not be written to: the run is over where the stage says so, and goes on
    without the message elsewhere."""
    ids = [str(entry.document.get("stage_id")) for entry in entries]
    stages = await slice.app.repos.lead_pauses.stages(slice.account_id, ids)
    ends = {id: ends_run(stages.get(id, {}), "unsubscribed") for id in ids}
    over = Closed(RunEnd("cancelled", "unsubscribed"))
    return [(entry, over if ends[id] else Performed("skipped")) for entry, id in zip(entries, ids, strict=True)]


async def _leads(slice: Slice, entries: Sequence[Entry]) -> list[dict[str, object]]:
    found = await slice.app.repos.leads.full(slice.account_id, [entry.lead["_id"] for entry in entries])
    return [found.get(str(entry.lead["_id"]), dict(entry.lead)) for entry in entries]


async def _as_they_end(
    slice: Slice, entries: dict[str, Entry], channel: Channel, units: dict[str, Deliver | Exception]
) -> AsyncIterator[Results]:
    ended: dict[str, SendResult] = {}
    async for new in sending_results(
        slice.app,
        slice.account_id,
        channel,
        units,
        still_wanted=_still_held(slice, entries),
        places=PLACES,
        until=slice.until,
        attempts=slice.app.settings.leads_attempts,
        when_hanging=lambda: _let_others_go_on(slice),
    ):
        ended |= new
        yield [(entries[key], _result(slice, entries[key], result)) for key, result in new.items()]
        if time.monotonic() > slice.until:
            await wake_others(slice)
    rest = rest_after(ended.values())
    yield _left_over(slice, [entry for key, entry in entries.items() if key not in ended], rest)


async def _let_others_go_on(slice: Slice) -> None:
    """A call hangs: other jobs of the account take what else is due, and what those sends have made due."""
    now = slice.app.clock.now()
    at = now + timedelta(seconds=RACE_SECONDS)
    await ACTING[slice.lane].wake_at(slice.app.queue, slice.account_id, at, now)
    await wake_others(slice)


def _still_held(slice: Slice, entries: dict[str, Entry]) -> Callable[[Collection[str]], Awaitable[Collection[str]]]:
    async def still_held(keys: Collection[str]) -> Collection[str]:
        by_claim: dict[ObjectId, list[str]] = {}
        for key in keys:
            by_claim.setdefault(entries[key].document["claim_id"], []).append(key)
        held: set[str] = set()
        for claim_id, some in by_claim.items():
            ids = {entries[key].id: key for key in some}
            mine = await slice.app.repos.lead_stages.still_held(slice.account_id, claim_id, list(ids))
            held |= {ids[id] for id in mine}
        return held

    return still_held


def _result(slice: Slice, entry: Entry, result: SendResult) -> Result:
    match result:
        case Delivered():
            return Performed()
        case GivenUp(error):
            return failed(error)
        case HeldBack():
            return Stay(replace(entry.position, perform_at=result.until, error=result.why))
        case Limited(after, why):
            at = slice.app.clock.now() + timedelta(seconds=after)
            return Stay(replace(entry.position, perform_at=at, error=why or entry.position.error))
        case NotYet(error, attempts):
            return Stay(retried(slice, entry, attempts, error))


def _left_over(slice: Slice, entries: Sequence[Entry], rest: float | None) -> Results:
    """What was not begun: behind a provider's limit it is due when that allows it, after `rest` seconds."""
    return [(entry, Stay() if rest is None else _result(slice, entry, Limited(rest))) for entry in entries]


def retried(slice: Slice, entry: Entry, attempts: int, error: str) -> Position:
    """The position after a failed attempt: due again after a pause that doubles, with jitter."""
    pause = Backoff.doubling(slice.app.settings.leads_retry_seconds).delay(max(1, attempts), random)
    at: datetime = slice.app.clock.now() + timedelta(seconds=pause)
    return replace(entry.position, perform_at=at, attempts=attempts, error=error, current_status="pending")
