"""`explain clone`: how far a clone is, what it waits for, and what happens next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.explanation import Condition, Next, is_free, next_of
from pipeline_engine.domain.funnels.control import Status, find_clone, status_of
from pipeline_engine.domain.funnels.source import CloneRefused, find_source, is_being_cloned
from pipeline_engine.logs import clean
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]

STEP_FIELDS = ("clone_state", "lease_owner", "lease_until", "attempts", "last_error")
CANCELLED = Next("ends", None, "as cancelled, and what it has copied is removed")


@dataclass(frozen=True)
class StepExplanation:
    """A step of the clone. An open step without an owner waits in its lane, or for its next attempt."""

    step: ObjectId
    original: ObjectId
    state: str
    owner: str | None
    until: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class CloneExplanation:
    """`warnings` say what could not be copied; `manifest` is empty until the clone is completed."""

    funnel: ObjectId
    original: object
    status: Status
    error: str | None
    conditions: Sequence[Condition]
    steps: Sequence[StepExplanation]
    warnings: Sequence[str]
    manifest: Mapping[str, Mapping[str, int]]
    next: Next


async def explain(app: App[FunnelRepos], funnel_id: ObjectId) -> CloneExplanation:
    """Reads only. Raises: Permanent `not_found`."""
    funnel, now = await find_clone(app, funnel_id), app.clock.now()
    clone = funnel.get("clone") or {}
    steps = [_step(one) for one in await _steps(app, funnel)]
    conditions = await _conditions(app, funnel, Counter(step.state for step in steps), now)
    due = Next("runs", now, f"at the next sweep, within {app.settings.funnel_sweep_seconds:g} s, or at once")
    ends = Next("ends", None, "no step is open: the next sweep ends the clone")
    return CloneExplanation(
        funnel=funnel_id,
        original=funnel.get("original_funnel_id"),
        status=status_of(funnel),
        error=clean(clone["error"]) if clone.get("error") else None,
        conditions=conditions,
        steps=steps,
        warnings=clone.get("warnings") or await app.repos.components.errors(funnel),
        manifest=clone.get("manifest") or {},
        next=next_of(conditions, ends if clone.get("planned") else due),
    )


async def _steps(app: App[FunnelRepos], funnel: Document) -> list[Document]:
    """In the order in which the funnel lists them."""
    found = await app.repos.funnel_steps.of_clone(funnel, *STEP_FIELDS)
    listed = funnel.get("steps")
    place = {id: n for n, id in enumerate(listed if isinstance(listed, list) else []) if isinstance(id, ObjectId)}
    return sorted(found, key=lambda one: place.get(one["_id"], len(place)))


def _step(one: Document) -> StepExplanation:
    error = clean(one["last_error"]) if one.get("last_error") else None
    lease = one.get("lease_owner"), one.get("lease_until"), one.get("attempts", 0)
    return StepExplanation(one["_id"], one["original_step_id"], one["clone_state"], *lease, error)


async def _conditions(app: App[FunnelRepos], funnel: Document, steps: Counter[str], now: datetime) -> list[Condition]:
    status = status_of(funnel)
    if status in ("completed", "failed", "cancelled", "not a clone"):
        return [Condition("has not ended", status, False, _ended(funnel))]
    clone = funnel.get("clone") or {}
    cancel = bool(clone.get("cancel_requested"))
    running = [
        Condition("has not ended", status, True),
        Condition("no cancellation is requested", "yes" if cancel else "no", not cancel, CANCELLED),
    ]
    if clone.get("planned"):
        return [*running, _no_step_is_open(steps)]
    return [
        *running,
        *await _original(app, funnel),
        is_free("no process holds it", funnel, now),
        _next_run_is_due(clone, app.settings.clone_runs, now),
        await _account_has_room(app, funnel),
    ]


def _no_step_is_open(steps: Counter[str]) -> Condition:
    value = ", ".join(f"{count} {state}" for state, count in sorted(steps.items()))
    waits = Next("runs", None, f"{steps['open']} steps wait or run; the last one to end ends the clone")
    return Condition("no step is open", value, not steps["open"], waits)


async def _original(app: App[FunnelRepos], funnel: Document) -> list[Condition]:
    refusal, waits = None, False
    try:
        waits = is_being_cloned(await find_source(app, funnel))
    except CloneRefused as error:
        refusal = str(error)
    refused = Next("fails", None, f"the next run refuses it: {refusal}")
    unfinished = Next(
        "waits", None, f"for its original {funnel.get('original_funnel_id')}, which is being cloned itself"
    )
    return [
        Condition("its original can be cloned", refusal or "yes", refusal is None, refused),
        Condition("its original is not being cloned itself", "yes" if waits else "no", not waits, unfinished),
    ]


def _next_run_is_due(clone: Document, runs: int, now: datetime) -> Condition:
    at = clone.get("next_at")
    why = f"run {clone.get('attempts')} of {runs} failed: {clean(str(clone.get('error')))}"
    return Condition("its next run is due", at or "at once", at is None or at <= now, Next("retries", at, why))


async def _account_has_room(app: App[FunnelRepos], funnel: Document) -> Condition:
    most = app.settings.funnels_per_run
    others = await app.repos.funnels.count_under_way(funnel.get("account_id"), funnel["_id"])
    crowded = Next("waits", None, f"for one of the account's {others} clones under way to end")
    return Condition(f"fewer than {most} clones of the account are under way", others, others < most, crowded)


def _ended(funnel: Document) -> Next:
    clone, status = funnel.get("clone") or {}, status_of(funnel)
    if status == "not a clone":
        return Next("never", None, "it is not pending, and no clone was made of it")
    why = f": {clean(clone['error'])}" if clone.get("error") else ""
    again = "; `funnels retry` makes it due again" if status != "completed" else ""
    return Next("never", None, f"it was {status} at {clone['finished_at']:%Y-%m-%d %H:%M:%S} UTC{why}{again}")
