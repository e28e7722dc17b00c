"""Writes how actions ended: the lead stage first, by one guarded write per group, then the rows that follow it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline_engine.domain.leads.jobs import ACTING, ENTER
from pipeline_engine.domain.leads.moving import move
from pipeline_engine.domain.leads.schedule import Position, RunEnd, following, opened
from pipeline_engine.domain.leads.work import Closed, Entry, Moved, Performed, Results, Slice, Stay
from pipeline_engine.repos.lead_stage_actions import OPEN_ROWS


@dataclass(frozen=True)
class Write:
    """One write for all entries that end alike. `ended`: what becomes of the row of the action, None when it goes on;
    `since`: when the action started; `unwritten`: the position there, where its row does not say it yet."""

    claim_id: Any
    sequence: int
    ended: str | None
    target: Position | RunEnd
    since: datetime | None
    unwritten: Position | None = None
    has_open_rows: bool = True
    """Whether there are actions behind it."""


async def settle(slice: Slice, results: Results) -> list[Entry]:
    """Store the results and release what this slice has no more to do with. Returns the entries whose next action can
    be performed at once in this lane; they stay claimed."""
    now = slice.app.clock.now()
    ends = await move(slice, [(entry, one.stage_id) for entry, one in results if isinstance(one, Moved)])
    writes: dict[Write, list[Entry]] = defaultdict(list)
    going: list[Entry] = []
    idle: list[Entry] = []
    for entry, result in results:
        write = _write(slice, entry, Closed(ends[entry.id]) if isinstance(result, Moved) else result, now)
        if write is None:
            idle.append(entry)
        else:
            writes[write].append(entry)
    for write, entries in writes.items():
        held = await _store(slice, write, entries, now)
        (going if _goes_on(slice, write, now) else idle).extend(held)
    await release(slice, idle)
    return going


def _write(slice: Slice, entry: Entry, result: Performed | Stay | Closed, now: datetime) -> Write | None:
    one = entry.document
    match result:
        case Stay(None):
            return None
        case Stay(Position() as position):
            return Write(one["claim_id"], entry.sequence, None, position, None)
    row = following(entry.rows, entry.sequence)
    ended: str = result.status if isinstance(result, Performed) else "done"
    target = opened(row, now, entry.lead, slice.account) if row else RunEnd("completed")
    if isinstance(result, Closed):
        ended, target = {"failed": "failed", "cancelled": "cancelled"}.get(result.end.status, "done"), result.end
    unwritten = entry.position if entry.is_unwritten else None
    return Write(one["claim_id"], entry.sequence, ended, target, one.get("started_at"), unwritten, row is not None)


def _goes_on(slice: Slice, write: Write, now: datetime) -> bool:
    """Whether the next action belongs to this lane and may be performed at once, or a reply may have come for it."""
    position = write.target
    if (
        write.ended is None
        or not isinstance(position, Position)
        or position.lane != slice.lane
        or slice.lane != "internal"
    ):
        return False
    return position.perform_at <= now or _waits_for_response(write)


async def _store(slice: Slice, write: Write, entries: Sequence[Entry], now: datetime) -> Sequence[Entry]:
    """Returns the entries that this claim still held."""
    is_performed_now = _goes_on(slice, write, now) and not _waits_for_response(write)
    values = _values(write, now, is_performed_now)
    ids = [entry.id for entry in entries]
    stages = slice.app.repos.lead_stages
    # The time of an action that is performed now is left out: it stands in indexes, and is written with the next one.
    stored = {name: value for name, value in values.items() if name != "perform_at" or not is_performed_now}
    if await stages.change_many(slice.account_id, write.claim_id, ids, stored) < len(ids):
        held = await stages.still_held(slice.account_id, write.claim_id, ids)
        entries = [entry for entry in entries if entry.id in held]
        ids = [entry.id for entry in entries]
    for entry in entries:
        if write.ended:
            slice.delays.note(entry.document, write.since)
        entry.document.update(values)
        entry.is_unwritten = is_performed_now
    if ids:
        await _follow(slice, write, ids, now, is_performed_now)
        if write.ended and _waits_for_response(write):
            leads = [entry.document["lead_id"] for entry in entries]
            await slice.app.repos.lead_responses.reopen(slice.account_id, leads, values["response_since"])
    _note_wakes(slice, write.target, now)
    return entries


def _waits_for_response(write: Write) -> bool:
    return isinstance(write.target, Position) and write.target.current_status == "waiting_response"


def _values(write: Write, now: datetime, is_performed_now: bool) -> dict[str, Any]:
    if isinstance(write.target, RunEnd):
        return {
            **write.target.document(now),
            **({"last_error": write.target.reason} if write.ended == "failed" else {}),
        }
    values = write.target.document()
    if write.ended:
        # The start is counted from here where the slice goes on at once, and from the next claim elsewhere.
        values |= {"opened_at": now, "started_at": now if is_performed_now else None}
        if _waits_for_response(write):
            values |= {"response_since": write.since or now}
    return values


async def _follow(slice: Slice, write: Write, ids: Sequence[Any], now: datetime, is_performed_now: bool) -> None:
    """The rows say what the lead stages say already; that of an action that is performed now says so when it ends."""
    rows, account = slice.app.repos.lead_stage_actions, slice.account_id
    if write.ended is None:
        assert isinstance(write.target, Position)  # noqa: S101 - only a run that stays has not ended its action
        await rows.change(account, ids, write.sequence, write.target.row(), OPEN_ROWS)
        return
    opened = write.unwritten.row() if write.unwritten else {}
    ended = {**opened, "status": write.ended, "performed_at": now, "started_at": write.since}
    if isinstance(write.target, RunEnd):
        error = {"last_error": write.target.reason} if write.ended == "failed" else {}
        await rows.change(account, ids, write.sequence, {**ended, **error})
        if write.has_open_rows:
            await rows.change_open(account, ids, {"status": "cancelled"})
        return
    changes = [rows.change(account, ids, write.sequence, ended)]
    if not is_performed_now:
        changes.append(rows.change(account, ids, write.target.sequence, write.target.row(), OPEN_ROWS))
    await asyncio.gather(*changes)


def _note_wakes(slice: Slice, target: Position | RunEnd, now: datetime) -> None:
    if isinstance(target, RunEnd):
        slice.wakes.add(ENTER)
    elif target.lane != slice.lane:
        slice.wakes.add(ACTING[target.lane])


async def release(slice: Slice, entries: Sequence[Entry]) -> None:
    """Release the entries, each under its claim."""
    by_claim: dict[Any, list[Any]] = defaultdict(list)
    for entry in entries:
        by_claim[entry.document["claim_id"]].append(entry.id)
    for claim_id, ids in by_claim.items():
        await slice.app.repos.lead_stages.release_many(slice.account_id, claim_id, ids)
