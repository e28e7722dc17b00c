"""What the modules of sequences work with: the slice of a job, the enrolments that it holds, and how a step ends."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import random
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.local_time import IsHoliday
from pipeline_engine.domain.messages import earlier_sends
from pipeline_engine.domain.sequences.sequence import SequenceStep
from pipeline_engine.lanes import Backoff
from pipeline_engine.repos.sequence_repos import SequenceRepos

Document = Mapping[str, Any]
Status = Literal["completed", "bounced", "unsubscribed", "replied", "failed", "cancelled"]


@dataclass(frozen=True)
class SendSlice:
    """One job of one account, until a time of the monotonic clock."""

    app: App[SequenceRepos]
    account_id: ObjectId
    zone: ZoneInfo
    """In which the account's days begin."""
    is_holiday: IsHoliday
    until: float

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until or self.app.stopping.is_set()


@dataclass(frozen=True, eq=False)
class SequenceEntry:
    """A claimed enrolment that stands at a mail."""

    document: Document
    steps: Sequence[SequenceStep]
    contact: Document

    @property
    def id(self) -> Any:
        return self.document["_id"]

    @property
    def step(self) -> SequenceStep:
        return self.steps[step_number(self.document)]

    @property
    def key(self) -> str:
        """The key under which `effects` has the send of the current step."""
        return send_keys(self.document, self.step.number)[-1]


def step_number(enrollment: Document) -> int:
    """The number of the current step, from 0; 0 where none is stored."""
    number = enrollment.get("step")
    return int(number) if isinstance(number, int | float) and not isinstance(number, bool) and number > 0 else 0


def send_keys(enrollment: Document, step: int) -> list[str]:
    """The keys under which `effects` may have the send of a step, the current one last: a retry by hand makes it
    another one."""
    return earlier_sends.send_keys(f"sequence:{enrollment['_id']}:{step}", max(0, int(enrollment.get("repeats") or 0)))


@dataclass(frozen=True)
class Sent:
    """The mail has gone out; `mailbox`: through which mailbox. `message_id`: empty where only the record has it."""

    subject: str
    mailbox: Any = None
    message_id: str = ""


@dataclass(frozen=True)
class Later:
    """The step stays due, at this time; None: as before. `error` and `attempts`: of the calls that failed; `held`: why
    the send policy lets it wait."""

    at: datetime | None = None
    error: str = ""
    attempts: int = 0
    held: str = ""


@dataclass(frozen=True)
class Over:
    """The enrolment is over."""

    status: Status
    reason: str = ""


Result: TypeAlias = Sent | Later | Over
Results: TypeAlias = Sequence[tuple[SequenceEntry, Result]]


@dataclass
class RetryTimes:
    """When what failed now is tried again; one draw of the jitter for all, so that they are stored together."""

    now: datetime
    first_pause: float
    chance: float = field(default_factory=random)

    def after(self, attempts: int, error: str) -> Later:
        pause = Backoff.doubling(self.first_pause).delay(max(1, attempts), lambda: self.chance)
        return Later(self.now + timedelta(seconds=pause), error, attempts)
