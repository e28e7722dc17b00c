"""The jobs: each works for one account until nothing of its lane is due or its slice is over."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.batch import work_off
from pipeline_engine.domain.leads.enter import let_in
from pipeline_engine.domain.leads.jobs import ACTING, INTERNAL
from pipeline_engine.domain.leads.pausing import keep_to_pauses
from pipeline_engine.domain.leads.repair import close_ended
from pipeline_engine.domain.leads.signals import take_signals
from pipeline_engine.domain.leads.turns import Turns
from pipeline_engine.domain.leads.wake_others import wake_others
from pipeline_engine.domain.leads.work import Slice
from pipeline_engine.errors import LeaseLost
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.lead_repos import LeadRepos

BEHIND_SECONDS = 0.25
"""Leads are let in while actions of the account begin no later than this after they are due."""

FEW = 10
"""Fewer leads than these, when none waits behind them, have their first actions in the job that lets them in."""

Work = Callable[[Slice], Awaitable[Outcome | None]]
WorkOnce = Callable[[Slice], Awaitable[bool]]
"""Works off one batch; returns whether there may be another."""


async def run_enter(app: App[LeadRepos], turns: Turns, account_id: ObjectId) -> Outcome | None:
    """Let the account's leads into their stages, as far as its places reach."""
    return await _in_turn(app, turns, account_id, "enter", _enter)


async def run_internal(app: App[LeadRepos], turns: Turns, account_id: ObjectId) -> Outcome | None:
    """Perform the account's due actions that leave the engine's own documents, and end waits."""
    return await _in_turn(app, turns, account_id, "internal", partial(_act, _internal_once))


async def run_email(app: App[LeadRepos], turns: Turns, account_id: ObjectId) -> Outcome | None:
    """Send the account's due e-mails."""
    return await _in_turn(app, turns, account_id, "email", partial(_act, _act_once))


async def run_sms(app: App[LeadRepos], turns: Turns, account_id: ObjectId) -> Outcome | None:
    """Send the account's due texts."""
    return await _in_turn(app, turns, account_id, "sms", partial(_act, _act_once))


async def _in_turn(app: App[LeadRepos], turns: Turns, account_id: ObjectId, lane: str, work: Work) -> Outcome | None:
    """The outcome of `work`; a snooze while the account gives way; None when it is not active, or is paused."""
    if wait := turns.wait(account_id, lane):
        return Snooze(wait)
    with turns.taken(account_id):
        account = await app.shared.accounts.get(account_id)
        until = time.monotonic() + app.settings.leads_slice_seconds
        slice = Slice(app, turns, account_id, account, lane, until)
        if account.get("active", True) is False or not await keep_to_pauses(slice):
            return None
        return await work(slice)


async def _enter(slice: Slice) -> Outcome | None:
    app, account_id = slice.app, slice.account_id
    most = app.settings.leads_active_max
    slice.places = most - await app.repos.lead_stages.count_active(account_id, most)
    outcome = await _run(slice, _enter_once)
    if outcome is None and slice.places > 0 and await app.repos.lead_stages.any_entering(account_id, slice.where):
        if not await _is_behind(slice):
            return Snooze()  # it came while this job was ending, when no other could be enqueued
        await INTERNAL.enqueue(app.queue, [account_id])  # usually it is there; a lost wake-up is made up for here
        return Snooze(BEHIND_SECONDS)
    return outcome


async def _act(work_once: WorkOnce, slice: Slice) -> Outcome | None:
    return await _run(slice, work_once) or await _until_next(slice)


async def _run(slice: Slice, work_once: WorkOnce) -> Outcome | None:
    try:
        while await _take_turn(slice, work_once):
            await wake_others(slice)
            if wait := slice.turns.wait(slice.account_id, slice.lane):
                return Snooze(wait)
            if time.monotonic() >= slice.until or slice.app.stopping.is_set():
                return Snooze()
            if not await keep_to_pauses(slice):
                return None
    except LeaseLost:
        return Snooze(1.0)
    finally:
        await wake_others(slice)
        await slice.delays.store(slice.app.repos.lead_delays, slice.account_id)
    return None


async def _take_turn(slice: Slice, work_once: WorkOnce) -> bool:
    has_more = await work_once(slice)
    slice.turns.note(slice.account_id, slice.lane, has_more=has_more)
    return has_more


async def _enter_once(slice: Slice) -> bool:
    batch = slice.turns.limit(slice.account_id, slice.lane, slice.app.settings.leads_batch)
    is_free = slice.places == slice.app.settings.leads_active_max
    may_begin = is_free or (slice.places > 0 and not await _is_behind(slice))
    # A lead that a move brings had a place already.
    where = slice.where if may_begin else {**slice.where, "moves": {"$gt": 0}}
    limit = min(batch, slice.places) if may_begin else batch
    claimed = await slice.app.repos.lead_stages.claim_entering(slice.account_id, limit, where)
    if claimed:
        await let_in(slice, claimed)
        slice.places -= len(claimed)
        if len(claimed) < min(limit, FEW) and INTERNAL in slice.wakes:
            await _go_on(slice)
    return len(claimed) == limit


async def _go_on(slice: Slice) -> None:
    """Perform what is due, which saves a job; another one is woken when more is left."""
    slice.wakes.remove(INTERNAL)
    if await _act(_act_once, replace(slice, lane="internal", wakes=set())):
        slice.wakes.add(INTERNAL)


async def _is_behind(slice: Slice) -> bool:
    """Whether the account's internal actions begin late already: leads that enter at once wait for those on their way,
    as each of them would make the others later."""
    due = await slice.app.repos.lead_stages.next_due_at(slice.account_id, "internal", slice.where)
    return due is not None and due < slice.app.clock.now() - timedelta(seconds=BEHIND_SECONDS)


async def _internal_once(slice: Slice) -> bool:
    closed = await close_ended(slice, slice.app.settings.leads_batch)
    settled = await take_signals(slice)
    return await _act_once(slice) or bool(closed or settled)


async def _act_once(slice: Slice) -> bool:
    settings = slice.app.settings
    most = settings.leads_batch if slice.lane == "internal" else settings.leads_send_batch
    limit = slice.turns.limit(slice.account_id, slice.lane, most)
    claimed = await slice.app.repos.lead_stages.claim_due(slice.account_id, slice.lane, limit, slice.where)
    if claimed:
        await work_off(slice, claimed)
    return len(claimed) == limit


async def _until_next(slice: Slice) -> Outcome | None:
    """Have the lane look again when the account's next action is due, if that is before the next sweep."""
    app, now = slice.app, slice.app.clock.now()
    at = await app.repos.lead_stages.next_due_at(slice.account_id, slice.lane, slice.where)
    if at is not None and at <= now:
        return Snooze()
    if at is not None and app.queue.keys.ttl:  # `run-once` waits for retries only
        retries = {**slice.where, "attempts": {"$gt": 0}}
        at = await app.repos.lead_stages.next_due_at(slice.account_id, slice.lane, retries)
    if at is None or at > now + timedelta(seconds=app.settings.leads_sweep_seconds):
        return None
    await ACTING[slice.lane].wake_at(app.queue, slice.account_id, at, now)
    return None
