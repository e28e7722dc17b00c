"""One attempt at some events of distinct keys: every consumer that has not had them yet, then the end of each.

The first call and three retries after 1, 5 and 30 s fail before an event is given up. What is repeated is only the
consumers that failed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random
from typing import Any

from bson import ObjectId

from pipeline_engine import error_reports, logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import MAX_CRASHES
from pipeline_engine.domain.consumers.burial import attempts_of, bury, past_errors
from pipeline_engine.domain.consumers.event import Event, read_event
from pipeline_engine.domain.consumers.order import key_of
from pipeline_engine.domain.consumers.table import CONSUMERS, Consumer
from pipeline_engine.domain.events.jobs import CRM_EVENTS
from pipeline_engine.domain.events.payloads import MALFORMED
from pipeline_engine.errors import LeaseLost, Permanent, RateLimited, Unreachable
from pipeline_engine.lanes.classify_error import brief, expected, full
from pipeline_engine.repos.client import Document, is_away
from pipeline_engine.repos.consumer_repos import ConsumerRepos

Errors = dict[Any, dict[str, Exception]]
"""{event id: {consumer: its error}}"""

log = logs.get(__name__)


@dataclass(frozen=True)
class _Failure:
    """How an attempt at one event failed; `is_last`: it is given up now."""

    document: Document
    values: Document
    is_last: bool


async def attempt(
    app: App[ConsumerRepos], account_id: ObjectId, documents: Sequence[Document], takers: Sequence[str]
) -> list[Document]:
    """Let the consumers have these events of distinct keys; returns those that wait for another attempt. The others are
    for `takers` then.

    Raises: what says nothing about an event: MongoDB or Redis is away, the lease is lost.
    """
    events, malformed = _read(documents, app.clock.now())
    errors = await _consume(app, account_id, events)
    done = [event for event in events if event.id not in errors]
    failed = [_failure(app, event.document, errors[event.id]) for event in events if event.id in errors]
    failed += [_hopeless(app, document, error) for document, error in malformed]
    await _end(app, account_id, done, takers)
    if failed:
        await app.repos.crm_events.fail(account_id, {one.document["_id"]: one.values for one in failed})
    for one in failed:
        if one.is_last:
            await bury(app, account_id, {**one.document, **one.values}, one.values["error"], takers)
    return [_waiting(one) for one in failed if not one.is_last]


def _read(documents: Sequence[Document], now: datetime) -> tuple[list[Event], list[tuple[Document, Permanent]]]:
    events: list[Event] = []
    malformed: list[tuple[Document, Permanent]] = []
    for document in documents:
        try:
            _refuse_crashed(document)
            events.append(read_event(document, now))
        except Permanent as error:
            malformed.append((document, error))
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            malformed.append((document, Permanent(f"the event cannot be read: {type(error).__name__}", MALFORMED)))
    return events, malformed


def _refuse_crashed(document: Document) -> None:
    if document.get("given_up"):  # a crash came between the last attempt and the dead letter
        raise Permanent(str(past_errors(document)[-1]["error"] if past_errors(document) else "it failed for good"))
    if document.get("crashes", 0) >= MAX_CRASHES:
        raise Permanent(f"{MAX_CRASHES} processes ended while they worked on this event", "crashes")


async def _consume(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> Errors:
    errors: Errors = defaultdict(dict)
    for consumer in CONSUMERS:
        if wanted := [event for event in events if _is_for(event, consumer)]:
            for id, error in (await call(app, account_id, consumer, wanted)).items():
                errors[id][consumer.name] = error
    return dict(errors)


def _is_for(event: Event, consumer: Consumer) -> bool:
    return event.type in consumer.types and consumer.name not in event.document.get("consumed", [])


async def call(
    app: App[ConsumerRepos], account_id: ObjectId, consumer: Consumer, events: Sequence[Event]
) -> Mapping[Any, Exception]:
    """{event id: error} of one consumer. What it raises is the error of the one event that causes it: the others are
    tried again without it, which does nothing twice. Raises: as `attempt`."""
    try:
        return await consumer.run(app, account_id, events)
    except Exception as error:
        if is_away(error) or isinstance(error, LeaseLost | Unreachable):
            raise
        if len(events) == 1:
            log.warning("event.consumer_failed", consumer=consumer.name, event_id=str(events[0].id), error=brief(error))
            return {events[0].id: error}
    middle = len(events) // 2
    halves = [await call(app, account_id, consumer, some) for some in (events[:middle], events[middle:])]
    return {**halves[0], **halves[1]}


async def _end(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event], takers: Sequence[str]) -> None:
    by_type: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        by_type[event.type].append(event.id)
    by_names: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for type, ids in by_type.items():
        by_names[tuple(one.name for one in CONSUMERS if type in one.types)] += ids
    for names, ids in by_names.items():
        await app.repos.crm_events.end(account_id, ids, names, takers)


def _failure(app: App[ConsumerRepos], document: Document, errors: Mapping[str, Exception]) -> _Failure:
    """Of several errors the event keeps all. Only a limit that was met counts as no attempt."""
    now, text = app.clock.now(), "; ".join(f"{name}: {full(error)}" for name, error in errors.items())
    of_type = [one.name for one in CONSUMERS if document["type"] in one.types]
    limits = [error.retry_after for error in errors.values() if isinstance(error, RateLimited)]
    attempts = attempts_of(document) + (len(limits) < len(errors))
    is_last = attempts >= CRM_EVENTS.attempts
    delay = max(limits) if len(limits) == len(errors) else CRM_EVENTS.backoff.delay(attempts, random)
    values: Document = {
        "attempts": attempts,
        "next_at": now + timedelta(seconds=0 if is_last else delay),
        "failing_key": key_of(document),
        "consumed": [name for name in of_type if name not in errors],
        "crashes": 0,
        "given_up": is_last,
        "error": {"attempt": attempts, "at": now, "error": text},
    }
    log.warning("event.attempt_failed", event_id=str(document["_id"]), attempt=attempts, consumers=sorted(errors))
    for name, error in errors.items():
        if not expected(error):
            error_reports.add(error, f"event {name}", attempt=attempts)
    return _Failure(document, values, is_last)


def _hopeless(app: App[ConsumerRepos], document: Document, error: Permanent) -> _Failure:
    now, attempts = app.clock.now(), max(1, attempts_of(document))
    failed = {"attempt": attempts, "at": now, "error": full(error)}
    values = {"attempts": attempts, "next_at": now, "failing_key": key_of(document), "given_up": True, "error": failed}
    return _Failure(document, values, True)


def _waiting(failure: _Failure) -> Document:
    """The event as `CrmEvents.failing` returns it."""
    document, values = failure.document, failure.values
    return {
        "_id": document["_id"],
        "failing_key": values["failing_key"],
        "occurred_at": document.get("occurred_at"),
        "next_at": values["next_at"],
    }
