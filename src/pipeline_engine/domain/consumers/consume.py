"""The job `event.consume`: a slice of one account's due events, in order.

Only the run that holds the account's line consumes its events, so the order of a key needs nothing more: events of
distinct keys go through the consumers together, and the next events of these keys follow.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.consumers.attempt import attempt
from pipeline_engine.domain.consumers.order import key_of, split_blocked, waves
from pipeline_engine.domain.events.jobs import CONSUME, ONWARD, wake, wake_at
from pipeline_engine.domain.named import named
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.event_lines import EventLines

SLICE_EVENTS = 200
SLICE_SECONDS = 2.0
HELD_SECONDS = 1.0
"""After this time a job looks again that found the line held by another job of its process."""
CAREFUL_AFTER_CRASHES = 2
"""After so many runs in a row that ended in the middle, events are worked on one by one, each counted before."""

LineClaim = Claim[EventLines]


@dataclass
class _Slice:
    app: App[ConsumerRepos]
    account_id: ObjectId
    until: float
    begun: bool = False
    events: int = 0
    next_at: set[datetime] = field(default_factory=set)
    """When events that wait are due again."""
    takers: set[str] = field(default_factory=set)
    """Who takes events that were consumed."""

    @property
    def is_over(self) -> bool:
        return self.events >= SLICE_EVENTS or time.monotonic() >= self.until or self.app.stopping.is_set()


async def run_consume(app: App[ConsumerRepos], _cache: None, account_id: ObjectId) -> Outcome | None:
    """Consume the account's due events, at most SLICE_EVENTS or for SLICE_SECONDS; then other accounts have a turn. The
    events of an account that is not active wait."""
    if not await app.shared.references.account_is_active(account_id):
        return None
    slice = _Slice(app, account_id, time.monotonic() + SLICE_SECONDS)
    run = ClaimedRun[LineClaim]("event_line", partial(_work, slice), not_given_up, None, is_hopeless=never)
    try:
        outcome = await run_claimed(app, app.repos.event_lines, account_id, run, Claim)
    finally:
        await _wake_next(slice)
    if not slice.begun and await app.repos.event_lines.is_held_by(account_id, app.owner):
        return Snooze(HELD_SECONDS)
    return outcome


async def _work(slice: _Slice, claim: LineClaim) -> Outcome | None:
    slice.begun = True
    is_careful = claim.repo.crashes_of(claim.document) >= CAREFUL_AFTER_CRASHES
    limit, repo = 1 if is_careful else SLICE_EVENTS, slice.app.repos.crm_events
    while events := await repo.read_due(slice.account_id, limit, now := slice.app.clock.now()):
        if is_careful:
            await repo.count_crashes(slice.account_id, events[0]["_id"])
        await _consume(slice, claim, events, now)
        if slice.is_over:
            await claim.release(crashes=0)
            return Snooze()
    await claim.release(crashes=0)
    return None


async def _consume(slice: _Slice, claim: LineClaim, events: Sequence[Document], now: datetime) -> None:
    """Consume the events, which were due at `now` and are in order, as far as no earlier event of their key waits."""
    events = await named(slice.app, CRM_EVENTS.name, events)
    keys = list({key_of(event) for event in events})
    failing = await slice.app.repos.crm_events.failing(slice.account_id, keys, now)
    takers = await slice.app.repos.event_takers.of(slice.account_id)
    free, blocked = split_blocked(events, failing)
    await _put_off(slice, blocked)
    for wave in waves(free):
        claim.check()
        ready, blocked = split_blocked(wave, failing)
        await _put_off(slice, blocked)
        if ready:
            failing = [*failing, *await _attempt(slice, ready, takers)]
        slice.events += len(wave)
        if slice.is_over:
            return


async def _attempt(slice: _Slice, events: Sequence[Document], takers: Sequence[str]) -> list[Document]:
    slice.takers.update(takers)
    waiting = await attempt(slice.app, slice.account_id, events, takers)
    slice.next_at |= {one["next_at"] for one in waiting}
    return waiting


async def _put_off(slice: _Slice, blocked: dict[datetime, list[Any]]) -> None:
    for until, ids in blocked.items():
        await slice.app.repos.crm_events.put_off(slice.account_id, ids, until)
        slice.next_at.add(until)
        slice.events += len(ids)


async def _wake_next(slice: _Slice) -> None:
    """Wake those who take consumed events, and this job when events that wait are due."""
    for name in slice.takers:
        await wake(slice.app, ONWARD[name], slice.account_id)
    for moment in slice.next_at:
        await wake_at(slice.app, CONSUME, slice.account_id, moment)


def never(_error: Exception) -> bool:
    """No error of a line is hopeless."""
    return False


async def not_given_up(_claim: LineClaim, _failure: RunFailure) -> None:
    """A line is never given up: what fails is looked at again."""
