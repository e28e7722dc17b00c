"""The steps of a sequence as the CRM wrote them, read and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bson import ObjectId

from pipeline_engine.domain.local_time import IsHoliday, after_business_days
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.workflows import is_paused

BAD_SEQUENCE = "bad_sequence"
MAX_SECONDS = 3650 * 86400
MAX_BUSINESS_DAYS = 2600
MAX_STEPS = 100


@dataclass(frozen=True)
class SequenceStep:
    """One mail, and how long after the one before it is sent: after seconds, or after business days."""

    number: int
    """Counted from 0, as in `step` of an enrolment."""
    template_id: ObjectId
    seconds: float = 0.0
    business_days: int = 0

    def due_at(self, since: datetime, zone: ZoneInfo, is_holiday: IsHoliday) -> datetime:
        """When the mail is due whose delay begins at `since`, in UTC."""
        if self.business_days:
            return after_business_days(since, self.business_days, zone, is_holiday)
        return (since + timedelta(seconds=self.seconds)).astimezone(UTC)


def read_steps(given: object) -> tuple[SequenceStep, ...]:
    """Raises: Permanent BAD_SEQUENCE, which names the step, what is wrong and what is allowed."""
    if not isinstance(given, list) or len(given) > MAX_STEPS:
        raise Permanent(f"steps: a list of at most {MAX_STEPS} steps is wanted", BAD_SEQUENCE)
    return tuple(_read(number, one) for number, one in enumerate(given))


def _read(number: int, given: object) -> SequenceStep:
    name = f"step {number + 1}"
    if not isinstance(given, Mapping):
        raise Permanent(f"{name}: an object is wanted", BAD_SEQUENCE)
    template_id = object_id(given.get("email_template_id"))
    if template_id is None:
        raise Permanent(f"{name}: email_template_id: the id of an e-mail template is wanted", BAD_SEQUENCE)
    seconds = _number(name, given, "delay_seconds", MAX_SECONDS)
    days = _number(name, given, "delay_business_days", MAX_BUSINESS_DAYS)
    if seconds and days:
        raise Permanent(f"{name}: delay_seconds and delay_business_days: only one is allowed", BAD_SEQUENCE)
    return SequenceStep(number, template_id, seconds, int(days))


def _number(name: str, given: Mapping[str, Any], field: str, most: int) -> float:
    value = given.get(field)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise Permanent(f"{name}: {field}: a number from 0 to {most} is wanted", BAD_SEQUENCE)
    return float(value)


def is_resting(sequence: Mapping[str, Any]) -> bool:
    """Whether the sequence sends nothing for now: it is not active, or paused."""
    return sequence.get("active") is False or is_paused(sequence)
