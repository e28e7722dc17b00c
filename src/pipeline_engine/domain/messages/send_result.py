"""How one send can end, and what the record of an earlier attempt says about another one. Pure.

A record in `effects` is {_id: unit key, state: held | planned → sending → sent | failed | unknown, attempts, doubts,
ambiguous, provider_id}. The attempt is committed before the call, so a record in `sending` belongs to a run that ended
in mid-call: the message may have gone out or not, and the policy of its channel decides (`resend`: send it once more
and flag it as ambiguous; `park`: leave it to a person).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pipeline_engine.errors import Permanent, RateLimited, SenderRefused, Transient, Unknown

MAX_ATTEMPTS = 3
"""Calls to the provider over all crashes, where a system does not allow more."""
MAX_DOUBTS = 2
"""Calls that may have sent it without the engine knowing; one more would make a third copy possible."""
SENDER_REST_SECONDS = 900.0
"""So long messages wait when the provider takes none of ours, because of a password, say."""
OF_ONE_RECIPIENT = frozenset(
    {"missing_address", "bad_address", "bad_number", "suppressed", "recipient_refused", "opted_out"}
)
"""Codes of refusals that say something of one recipient and nothing of all others."""
UNKNOWN = "it may have gone out: the call was not confirmed, so it is not sent again by itself"

Policy = Literal["resend", "park"]
Change = dict[str, Any]
"""The fields of the record that an attempt sets."""


@dataclass(frozen=True)
class Delivered:
    """The provider has it, under this id of its own, if it gave one."""

    provider_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class NotYet:
    """It may be tried again; `attempts` calls were made so far."""

    error: str
    attempts: int


@dataclass(frozen=True)
class GivenUp:
    """It is not tried again by itself; `attempts` calls were made. `code`: that of the refusal, where it was one."""

    error: str
    attempts: int
    code: str = field(default="", compare=False)


@dataclass(frozen=True)
class Limited:
    """It was not sent: a limit allows the next call after `after` seconds. `why`: where it is more than a limit."""

    after: float
    why: str = ""


@dataclass(frozen=True)
class HeldBack(Limited):
    """It was not tried: the send window is closed. It is due again at `until`, and `after` says how far that is;
    `attempts` calls were made so far."""

    until: datetime = field(kw_only=True)
    attempts: int = 0


SendResult = Delivered | NotYet | GivenUp | Limited


def rest_after(results: Iterable[SendResult]) -> float | None:
    """The seconds before limits allow the next message; None when none was met. What is held has its own time."""
    limits = [one.after for one in results if isinstance(one, Limited) and not isinstance(one, HeldBack)]
    return max(limits, default=None)


def not_composed(reason: Exception) -> SendResult:
    """The end of a unit for which there is no message."""
    if isinstance(reason, RateLimited):
        return Limited(reason.retry_after)
    return GivenUp(str(reason), 0, reason.code if isinstance(reason, Permanent) else "")


def settled(record: Mapping[str, Any], policy: Policy, most: int = MAX_ATTEMPTS) -> SendResult | None:
    """The end that the record of earlier attempts stands for; None when another attempt is due."""
    attempts = record["attempts"]
    if record["state"] == "sent":
        return Delivered(record.get("provider_id"))
    if record["state"] == "failed":
        return GivenUp(record.get("error") or "failed before", attempts, record.get("code") or "")
    doubts = record.get("doubts", 0) + (record["state"] in ("sending", "unknown"))
    if doubts >= (MAX_DOUBTS if policy == "resend" else 1):
        return GivenUp(UNKNOWN, attempts)
    if attempts >= most:
        return GivenUp(record.get("error") or f"{most} attempts without an answer", attempts)
    return None


def is_doubtful(record: Mapping[str, Any]) -> bool:
    """Whether the message may have gone out although no attempt of the record is known to have sent it."""
    return record["state"] in ("sending", "unknown") or (record["state"] != "sent" and bool(record.get("ambiguous")))


def delivered(provider_id: str | None) -> tuple[SendResult, Change]:
    """The end of a call that went through, and the change of its record."""
    return Delivered(provider_id), {"state": "sent", "provider_id": provider_id, "error": None}


def failed(error: Exception, attempt: int, policy: Policy, most: int = MAX_ATTEMPTS) -> tuple[SendResult, Change]:
    """The end of a call that raised `error` as the unit's `attempt`th, and the change of its record."""
    match error:
        case RateLimited():
            # The provider did nothing, so it was no attempt.
            return Limited(error.retry_after), {"state": "planned", "attempts": attempt - 1}
        case SenderRefused():
            # Each message would fail; none of them is to blame, so it was no attempt.
            waiting = {"state": "planned", "attempts": attempt - 1, "error": str(error)}
            return Limited(SENDER_REST_SECONDS, str(error)), waiting
        case Permanent():
            refused = {"state": "failed", "error": str(error), "code": error.code}
            return GivenUp(str(error), attempt, error.code), refused
        case Transient():
            state = "planned" if attempt < most else "failed"
            return _retried(str(error), attempt, most), {"state": state, "error": str(error)}
    # Unknown, a time-out or a fault of the engine's own: the message may have gone out.
    reason = str(error) if isinstance(error, Unknown) else type(error).__name__
    change = {"state": "unknown", "ambiguous": True, "error": reason}
    return GivenUp(UNKNOWN, attempt) if policy == "park" else _retried(reason, attempt, most), change


def _retried(error: str, attempts: int, most: int) -> SendResult:
    return NotYet(error, attempts) if attempts < most else GivenUp(error, attempts)
