"""Why an event stands where it stands: every condition with its value, what happens next, and who has had it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.consumers.burial import attempts_of, past_errors
from pipeline_engine.domain.consumers.event import read_event
from pipeline_engine.domain.consumers.order import key_of, split_blocked
from pipeline_engine.domain.consumers.table import CONSUMERS
from pipeline_engine.domain.events.jobs import CRM_EVENTS
from pipeline_engine.domain.events.publisher import MAX_CAUSE_DEPTH, depth_of
from pipeline_engine.domain.explanation import Condition, Next, is_free, next_of
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from pipeline_engine.repos.crm_events import CRM_EVENTS as SPEC


@dataclass(frozen=True)
class ConsumerState:
    """How far one consumer of the event's type is: done, waits, failed."""

    consumer: str
    state: str


@dataclass(frozen=True)
class AttemptError:
    """One attempt that failed."""

    at: datetime
    attempt: object
    error: str


@dataclass(frozen=True)
class EventExplanation:
    """`onward` are those who have not taken the ended event; `causes` the events before it, the nearest first."""

    event: str
    type: str
    status: str
    key: str
    attempts: int
    consumers: Sequence[ConsumerState]
    onward: Sequence[str]
    causes: Sequence[str]
    errors: Sequence[AttemptError]
    conditions: Sequence[Condition]
    next: Next


async def explain(app: App[ConsumerRepos], id: str) -> EventExplanation:
    """Raises: Permanent `not_found`."""
    event = await app.repos.crm_events.get(id)
    if event is None:
        raise Permanent(f"there is no event {id}", "not_found")
    conditions = await _conditions(app, event)
    due = Next("runs", app.clock.now(), f"at the next look, within {app.settings.event_sweep_seconds:g} s")
    return EventExplanation(
        event=str(event["_id"]),
        type=str(event.get("type")),
        status=str(event.get("status")),
        key=key_of(event),
        attempts=attempts_of(event),
        consumers=_consumers(event),
        onward=[str(name) for name in event.get("onward", [])],
        causes=await _causes(app, event),
        errors=[AttemptError(one["at"], one.get("attempt"), str(one.get("error"))) for one in past_errors(event)],
        conditions=conditions,
        next=next_of(conditions, due),
    )


async def _conditions(app: App[ConsumerRepos], event: Document) -> list[Condition]:
    status, account_id = event.get("status"), object_id(event.get("account_id"))
    ended = Next("never", None, _ending(event))
    is_new = Condition("the event is new", status, status == "new", ended)
    if not is_new.passed:
        return [is_new]
    no_account = Next("never", None, "it names no account, so no run can take it")
    is_aside = await app.shared.quarantine.is_aside(SPEC.name, event["_id"])
    aside = Next("never", None, "it is set aside: `quarantine list` says why, `quarantine release` lets it go on")
    off = Next("never", None, "QM_EVENTS is false")
    conditions = [
        is_new,
        Condition("CRM events are switched on", app.settings.qm_events, app.settings.qm_events, off),
        Condition("names an account", event.get("account_id"), account_id is not None, no_account),
        Condition("is not set aside", is_aside, not is_aside, aside),
        _readable(app, event),
        _due(app, event),
    ]
    if account_id:
        conditions.append(_account(await app.shared.references.account_is_active(account_id)))
        failing = await app.repos.crm_events.failing(account_id, [key_of(event)], app.clock.now())
        line = await app.repos.event_lines.get(account_id)
        conditions += [_unblocked(event, failing), is_free("no run has its account", line or {}, app.clock.now())]
    return conditions


def _account(is_active: bool) -> Condition:
    inactive = Next("waits", None, "for the account, which is not active")
    return Condition("account is active", "active" if is_active else "not active", is_active, inactive)


def _ending(event: Mapping[str, Any]) -> str:
    if event.get("status") == "dead":
        return f"it was given up: {event.get('error')}; `dlq retry` consumes it again"
    return "every consumer has had it" if event.get("status") == "done" else "its status is not `new`"


def _readable(app: App[ConsumerRepos], event: Document) -> Condition:
    try:
        read_event(event, app.clock.now())
    except Permanent as error:
        return Condition("can be read", str(error), False, Next("fails", app.clock.now(), str(error)))
    return Condition("can be read", "yes", True)


def _due(app: App[ConsumerRepos], event: Document) -> Condition:
    at = usable_date(event.get("next_at"))
    failed = event.get("failing_key") is not None
    why = f"attempt {attempts_of(event) + 1} of {CRM_EVENTS.attempts}" if failed else "an event before it has failed"
    waits = Next("retries" if failed else "waits", at, why)
    return Condition("no attempt waits", at or "none", at is None or at <= app.clock.now(), waits)


def _unblocked(event: Document, failing: Sequence[Mapping[str, Any]]) -> Condition:
    others = [one for one in failing if one["_id"] != event["_id"]]
    _, blocked = split_blocked([event], others)
    until = next(iter(blocked), None)
    first = str(others[0]["_id"]) if blocked else "none"
    waits = Next("waits", until, f"for event {first}, which came before it under the same key")
    return Condition("no earlier event of its key waits", first, not blocked, waits)


def _consumers(event: Document) -> list[ConsumerState]:
    done = event.get("consumed", [])
    names = [consumer.name for consumer in CONSUMERS if event.get("type") in consumer.types]
    otherwise = "failed" if event.get("status") == "dead" else "waits"
    return [ConsumerState(name, "done" if name in done else otherwise) for name in names]


async def _causes(app: App[ConsumerRepos], event: Document) -> list[str]:
    causes: list[str] = []
    while depth_of(event) and len(causes) <= MAX_CAUSE_DEPTH:
        id = str(event["cause"].get("event_id"))
        found = await app.repos.crm_events.get(id)
        causes.append(f"{id} ({found.get('type')})" if found else f"{id} (does not exist any more)")
        if found is None:
            break
        event = found
    return causes
