"""The job `workflow.step`: the account's due enrolments, several at a time, for a slice of time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import MAX_CRASHES, Claim, ClaimedRun, run_claimed
from pipeline_engine.domain.events.jobs import STEP
from pipeline_engine.domain.named import named
from pipeline_engine.domain.workflows.pauses import keep_to_pauses
from pipeline_engine.domain.workflows.perform import (
    MAX_ATTEMPTS,
    EnrollmentClaim,
    StepSlice,
    give_up,
    perform_due,
)
from pipeline_engine.domain.workflows.workflow import is_paused
from pipeline_engine.lanes import RACE_SECONDS, Outcome, Snooze
from pipeline_engine.repos.enrollments import ENROLLMENTS
from pipeline_engine.repos.workflow_repos import WorkflowRepos

SLICE_SECONDS = 2.0
PLACES = 10
"""Enrolments of one job at a time: at most so many sends are in doubt after a kill."""
MAX_FOUND = 100
HANGS_SECONDS = 1.0
"""So long after its slice a job counts as hanging, and another job of the account goes on beside it."""


async def run_steps(app: App[WorkflowRepos], _cache: None, account_id: ObjectId) -> Outcome | None:
    """Perform what is due for the account, unless it is not active."""
    if (await app.shared.accounts.get(account_id)).get("active", True) is False:
        return None
    await keep_to_pauses(app, account_id)
    slice = StepSlice(app, account_id, time.monotonic() + SLICE_SECONDS)
    tried: set[Any] = set()
    while found := [one for one in await _due(slice) if one["_id"] not in tried]:
        tried |= {one["_id"] for one in found}
        for some in _apart(found):
            await _work_off(slice, some)
        if slice.is_over:
            return Snooze()
    return await _until_next(slice)


async def _due(slice: StepSlice) -> list[Mapping[str, Any]]:
    """The enrolments that are due, but those whose workflow was paused meanwhile."""
    repos = slice.app.repos
    found = await named(slice.app, ENROLLMENTS.name, await repos.enrollments.due_ids(slice.account_id, MAX_FOUND))
    states = await repos.workflows.states(slice.account_id, [one["workflow_id"] for one in found])
    if any(map(is_paused, states.values())):
        await keep_to_pauses(slice.app, slice.account_id)
        found = [one for one in found if not is_paused(states.get(str(one["workflow_id"])))]
    return [{**one, "is_orphan": str(one["workflow_id"]) not in states} for one in found]


def _apart(found: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """What a dead process held one by one, then the others together: one that ends processes takes no others with
    it."""
    left = [[one] for one in found if one.get("lease_owner")]
    others = [one for one in found if not one.get("lease_owner")]
    return [*left, others] if others else left


async def _work_off(slice: StepSlice, found: list[Mapping[str, Any]]) -> None:
    """Several enrolments at a time, each one by itself; none is begun when the slice is over."""
    waiting = deque(found)

    async def place() -> None:
        while waiting and not slice.is_over:
            await _one(slice, waiting.popleft())

    places = [asyncio.create_task(place()) for _ in range(min(PLACES, len(found)))]
    try:
        rest = max(0.0, slice.until - time.monotonic()) + HANGS_SECONDS
        _, hanging = await asyncio.wait(places, timeout=rest)
        if hanging:
            now = slice.app.clock.now()
            await STEP.wake_at(slice.app.queue, slice.account_id, now + timedelta(seconds=RACE_SECONDS), now)
        for one in places:
            await one
    finally:
        for one in places:
            one.cancel()
        await asyncio.gather(*places, return_exceptions=True)


async def _one(slice: StepSlice, found: Mapping[str, Any]) -> None:
    run = ClaimedRun[EnrollmentClaim](
        "enrollment",
        work=partial(perform_due, slice, is_orphan=found["is_orphan"]),
        give_up=partial(give_up, slice),
        attempts=MAX_ATTEMPTS,
        crashes=MAX_CRASHES,
    )
    await run_claimed(slice.app, slice.app.repos.enrollments, found["_id"], run, Claim)


async def _until_next(slice: StepSlice) -> Outcome | None:
    """Have the account's steps performed when the next is due, if that is before the next sweep."""
    app, now = slice.app, slice.app.clock.now()
    # `run-once` waits for attempts, not for what is due later.
    at = await app.repos.enrollments.next_due_at(slice.account_id, only_retries=app.queue.keys.ttl is not None)
    if at is None or at > now + timedelta(seconds=app.settings.event_sweep_seconds):
        return None
    if at <= now:
        return Snooze(RACE_SECONDS)
    await STEP.wake_at(app.queue, slice.account_id, at, now)
    return None
