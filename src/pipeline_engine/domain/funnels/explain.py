"""How far a clone is, what waits for what, and what happens next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.explanation import Condition, Next, next_of
from pipeline_engine.domain.funnels.look_up import look_up
from pipeline_engine.domain.funnels.refusal import CloneRefused
from pipeline_engine.domain.funnels.source import find_source
from pipeline_engine.domain.funnels.status import Status, status_of
from pipeline_engine.domain.is_free import is_free
from pipeline_engine.logs import clean
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]

STEP_FIELDS = ("clone_state", "lease_owner", "lease_until", "attempts", "last_error")


@dataclass(frozen=True)
class Step:
    """A step of the clone; one that is open and has no owner waits in its lane, or for its next attempt."""

    step: ObjectId
    original: ObjectId
    state: str
    owner: str | None
    until: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class Explanation:
    """`warnings` are what could not be copied; `manifest` is there when it is completed."""

    funnel: ObjectId
    original: object
    status: Status
    error: str | None
    conditions: Sequence[Condition]
    steps: Sequence[Step]
    warnings: Sequence[str]
    manifest: Mapping[str, Mapping[str, int]]
    next: Next


async def explain(app: App[FunnelRepos], funnel_id: ObjectId) -> Explanation:
    """Raises: Permanent `not_found`."""
    funnel, now = await look_up(app, funnel_id), app.clock.now()
    clone = funnel.get("clone") or {}
    steps = [_step(one) for one in await _steps(app, funnel)]
    conditions = await _conditions(app, funnel, Counter(step.state for step in steps), now)
    due = Next("runs", now, f"at the next look, within {app.settings.funnel_sweep_seconds:g} s, or at once")
    ends = Next("ends", None, "no step is left: whoever looks next ends it")
    return Explanation(
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
    """In the order of the funnel."""
    found = await app.repos.funnel_steps.of_clone(funnel, *STEP_FIELDS)
    listed = funnel.get("steps")
    place = {id: n for n, id in enumerate(listed if isinstance(listed, list) else []) if isinstance(id, ObjectId)}
    return sorted(found, key=lambda one: place.get(one["_id"], len(place)))


def _step(one: Document) -> Step:
    error = clean(one["last_error"]) if one.get("last_error") else None
    times = one.get("lease_owner"), one.get("lease_until"), one.get("attempts", 0)
    return Step(one["_id"], one["original_step_id"], one["clone_state"], *times, error)


async def _conditions(app: App[FunnelRepos], funnel: Document, steps: Counter[str], now: datetime) -> list[Condition]:
    if status_of(funnel) in ("completed", "failed", "cancelled", "not a clone"):
        return [Condition("has not ended", status_of(funnel), False, _ended(funnel))]
    clone, most = funnel.get("clone") or {}, app.settings.funnels_per_run
    asked = bool(clone.get("cancel_requested"))
    first = [
        Condition("has not ended", status_of(funnel), True),
        Condition("nobody asked for its end", "yes" if asked else "no", not asked, ENDS),
    ]
    if clone.get("planned"):
        return [*first, _open_steps(steps)]
    refusal = await _refusal(app, funnel)
    others = await app.repos.funnels.count_under_way(funnel.get("account_id"), funnel["_id"])
    refused = Next("fails", None, f"the next run refuses it: {refusal}")
    crowded = Next("waits", None, f"for one of the account's {others} clones under way to end")
    return [
        *first,
        Condition("its original can be cloned", refusal or "yes", refusal is None, refused),
        is_free("nobody plans it", funnel, now),
        _rested(clone, app.settings.clone_runs, now),
        Condition(f"fewer than {most} clones of the account are under way", others, others < most, crowded),
    ]


ENDS = Next("ends", None, "as cancelled, and what it has copied is removed")


async def _refusal(app: App[FunnelRepos], funnel: Document) -> str | None:
    try:
        await find_source(app, funnel)
    except CloneRefused as error:
        return str(error)
    return None


def _open_steps(steps: Counter[str]) -> Condition:
    value = ", ".join(f"{count} {state}" for state, count in sorted(steps.items()))
    waits = Next("runs", None, f"{steps['open']} steps wait or run; the last one to end ends the clone")
    return Condition("no step is open", value, not steps["open"], waits)


def _rested(clone: Document, runs: int, now: datetime) -> Condition:
    again = clone.get("next_at")
    why = f"run {clone.get('attempts')} of {runs} failed: {clean(str(clone.get('error')))}"
    return Condition("no run rests", again or "none", again is None or again <= now, Next("retries", again, why))


def _ended(funnel: Document) -> Next:
    clone, status = funnel.get("clone") or {}, status_of(funnel)
    if status == "not a clone":
        return Next("never", None, "it is not pending, and no clone was made of it")
    why = f": {clean(clone['error'])}" if clone.get("error") else ""
    again = "; `funnels retry` takes it up again" if status != "completed" else ""
    return Next("never", None, f"it is {status} at {clone['finished_at']:%Y-%m-%d %H:%M:%S} UTC{why}{again}")
