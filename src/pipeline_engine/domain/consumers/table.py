"""The consumers, in the order in which an event passes them: one file and one row each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.domain.consumers.reactions import (
    enrollments,
    intent,
    lead_reply,
    lead_score,
    owner,
    timeline,
    welcome_email,
)
from pipeline_engine.repos.consumer_repos import ConsumerRepos

Run = Callable[[App[ConsumerRepos], ObjectId, Sequence[Event]], Awaitable[Mapping[Any, Exception]]]


@dataclass(frozen=True)
class Consumer:
    """`run` takes events of these types, of one account and of distinct keys, and returns {event id: error} of those
    that have to come again. It may get an event twice, also one whose effects are all there."""

    name: str
    """Stands in `consumed` of the events that it is done with, so it never changes."""
    types: frozenset[str]
    run: Run


CONSUMERS: tuple[Consumer, ...] = (
    Consumer("lead_score", lead_score.TYPES, lead_score.score),
    Consumer("intent", intent.TYPES, intent.add_signals),
    Consumer("owner", owner.TYPES, owner.assign),
    Consumer("welcome_email", welcome_email.TYPES, welcome_email.send),
    Consumer("enrollments", enrollments.TYPES, enrollments.end_sequences),
    Consumer("lead_reply", lead_reply.TYPES, lead_reply.respond),
    Consumer("timeline", timeline.TYPES, timeline.write),
)
