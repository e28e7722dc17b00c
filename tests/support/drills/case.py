"""What a checker looks at, and the checks that all systems share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from tests.support.drills.history import Change, History

Document = dict[str, Any]
MAX_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything about one unit of work that the checks look at; each system adds its own."""

    changes: list[Change]
    lease: float
    """LEASE_SECONDS of the daemons."""
    max_orphaned: timedelta
    """How long a lease that ran out may have waited for its next holder."""


C = TypeVar("C", bound=Case)
Check = Callable[[C], Iterator[str]]


def violations(case: C, checks: Sequence[Check[C]]) -> list[str]:
    """What all checks find."""
    return [violation for check in checks for violation in check(case)]


def one_writer(case: Case) -> Iterator[str]:
    """I2, I3 and I5: on the way, too, everything was in order."""
    yield from History(case.changes, case.lease, case.max_orphaned).violations


def leases_released(documents: Iterable[Document]) -> Iterator[str]:
    """I2: no lease outlives the run."""
    for one in documents:
        if one.get("lease_owner") is not None or one.get("lease_until") is not None:
            yield f"I2: {one['_id']} is still held by {one.get('lease_owner')}"


def of_one_account(case: Case, kinds: Iterable[str], account: object) -> Iterator[str]:
    """I17: all documents of these kinds belong to the account."""
    for kind in kinds:
        if foreign := [one["_id"] for one in getattr(case, kind) if one.get("account_id") != account]:
            yield f"I17: {kind} {listed(foreign)} of another account"


def listed(things: Iterable[object]) -> str:
    """The first few, and how many more there are; a list in its own order, all else sorted."""
    names = list(map(str, things)) if isinstance(things, list) else sorted(map(str, things))
    return ", ".join(names[:MAX_LISTED]) + (f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else "")
