"""Sends past events to one consumer, workflow or webhook again; no other one sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim, ClaimedRun, run_claimed
from pipeline_engine.domain.consumers.attempt import call
from pipeline_engine.domain.consumers.consume import LineClaim, never, not_given_up
from pipeline_engine.domain.consumers.event import Event, read_event
from pipeline_engine.domain.consumers.order import waves
from pipeline_engine.domain.consumers.table import CONSUMERS, Consumer
from pipeline_engine.domain.events.jobs import ONWARD, wake
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos

BATCH_EVENTS = 100
LINE_TIMEOUT = 60.0
"""Seconds to wait for an account's line, which daemons hold for a slice at a time."""
LINE_POLL_SECONDS = 0.2

Kind = Literal["consumer", "workflows", "webhooks"]


@dataclass(frozen=True)
class Target:
    """Where past events go: a consumer by its name, or one document of `workflows` or `webhooks`."""

    kind: Kind
    name: str


@dataclass(frozen=True)
class EventRange:
    """Which past events; None: any."""

    account_id: ObjectId | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def query(self) -> Document:
        """A filter for the events, `account_id` left out."""
        times = {name: value for name, value in (("$gte", self.since), ("$lt", self.until)) if value}
        own = {"type": self.type} if self.type is not None else {}
        return {**own, **({"occurred_at": times} if times else {})}


@dataclass
class Replayed:
    """How many events went to the target, and {event id: error} of those that failed there."""

    events: int = 0
    errors: dict[str, str] = field(default_factory=dict)


async def count(app: App[ConsumerRepos], target: Target, selection: EventRange) -> int:
    """How many past events would go to the target. Raises: Permanent when there is no such target."""
    account_id, query = await _of_target(app, target, selection)
    return await app.repos.past_events.count(account_id, query)


async def replay(app: App[ConsumerRepos], target: Target, selection: EventRange) -> Replayed:
    """Send them. A consumer has had them when this returns; a workflow or webhook gets them by its own job.

    What a consumer has done for an event it does not do a second time, and for accounts that are not active it does
    nothing. Raises: as `count`.
    """
    account_id, query = await _of_target(app, target, selection)
    result = Replayed()
    for account in [account_id] if account_id else await app.repos.past_events.accounts(query):
        if not await app.shared.references.account_is_active(account):
            continue
        if target.kind != "consumer":
            result.events += await app.repos.past_events.restrict(account, query, target.kind, target.name)
            await wake(app, ONWARD[target.kind], account)
            continue
        async for batch in app.repos.past_events.batches(account, query, BATCH_EVENTS):
            await _consume(app, account, _consumer(target.name), batch, result)
    return result


async def _of_target(
    app: App[ConsumerRepos], target: Target, selection: EventRange
) -> tuple[ObjectId | None, Document]:
    """The account and the filter of the events that the target may get: those of its own account and types."""
    if target.kind == "consumer":
        types = {"$and": [selection.query(), {"type": {"$in": sorted(_consumer(target.name).types)}}]}
        return selection.account_id, types
    owner = await app.repos.past_events.account_of(target.kind, target.name)
    if owner is None or selection.account_id not in (None, owner):
        raise Permanent(f"there is no document {target.name} in {target.kind} of this account", "not_found")
    return owner, selection.query()


def _consumer(name: str) -> Consumer:
    known = {consumer.name: consumer for consumer in CONSUMERS}
    if name not in known:
        raise Permanent(f"there is no consumer {name}; there are {', '.join(known)}", "not_found")
    return known[name]


async def _consume(
    app: App[ConsumerRepos], account_id: ObjectId, consumer: Consumer, batch: Sequence[Document], result: Replayed
) -> None:
    """Let the consumer have the events while this process holds the account's line."""
    done = False

    async def work(claim: LineClaim) -> None:
        nonlocal done
        done = True
        for wave in waves([*batch]):
            claim.check()
            events = [event for one in wave if (event := _read(app, one, result))]
            failed = await call(app, account_id, consumer, events) if events else {}
            result.events += len(events)
            result.errors |= {str(id): full(error) for id, error in failed.items()}
        await claim.release()

    run = ClaimedRun[LineClaim]("event_line", work, not_given_up, None, is_hopeless=never)
    ends = time.monotonic() + LINE_TIMEOUT
    while not done:
        await app.heartbeat.beat()  # a command runs no heartbeat
        await run_claimed(app, app.repos.event_lines, account_id, run, Claim)
        if not done and time.monotonic() > ends:
            raise Permanent(f"the events of account {account_id} are being consumed by another process", "busy")
        await asyncio.sleep(0 if done else LINE_POLL_SECONDS)


def _read(app: App[ConsumerRepos], document: Document, result: Replayed) -> Event | None:
    try:
        return read_event(document, app.clock.now())
    except Permanent as error:
        result.errors[str(document["_id"])] = str(error)
        return None
