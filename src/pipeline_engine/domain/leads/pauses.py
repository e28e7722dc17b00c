"""Pauses of a stage, a pipeline or an account (`automation_paused`), and when what they held back is due again. Pure.

`waits: extend` adds the pause to what was waiting; `waits: keep` leaves due times as they are, and what became due in
the meantime is caught up. What is due by the end of a pause is spread over a window, so that no burst goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import fingerprint

PausedWaits = Literal["extend", "keep"]
SPREAD_OVER = timedelta(seconds=60)
"""The window of the limits on accounts: what a pause held back leaves within it."""
LONG_AGO = datetime(11, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pause:
    """`until` is None for a pause that lasts until an operator resumes."""

    since: datetime
    until: datetime | None = None
    waits: PausedWaits = "extend"

    def holds(self, now: datetime) -> bool:
        """Whether the pause is in force at `now`."""
        return self.until is None or self.until > now

    def document(self) -> dict[str, Any]:
        """The pause as the field `automation_paused` holds it."""
        until = {"until": self.until} if self.until else {}
        return {"since": self.since, **until, "waits": self.waits}


def read_pause(document: Mapping[str, Any] | None) -> Pause | None:
    """The pause that a stage, a pipeline or an account carries; None when it carries none.

    A pause that is not well-formed counts as one without an end: sending less than wanted can be mended.
    """
    value = (document or {}).get("automation_paused")
    if value is None or value is False:
        return None
    if not isinstance(value, Mapping):
        return Pause(LONG_AGO, waits="keep")
    since, until, waits = usable_date(value.get("since")), usable_date(value.get("until")), value.get("waits")
    # Without a beginning there is no length by which waits could be extended.
    kept = since is None or waits == "keep"
    return Pause(since or LONG_AGO, until, "keep" if kept else "extend")


def longest(pauses: Iterable[Pause | None], now: datetime) -> Pause | None:
    """Of the pauses in force, the one that ends last; None when none is in force."""
    forever = datetime.max.replace(tzinfo=UTC)
    held = [pause for pause in pauses if pause and pause.holds(now)]
    return max(held, key=lambda pause: pause.until or forever, default=None)


def due_after(pause: Pause, perform_at: datetime, begun: datetime, resumed: datetime) -> datetime:
    """When an action that was due at `perform_at` is due after the pause, before it is spread.

    `begun`: when its waiting began. Of the pause only the part since then extends it; what was due before the pause
    is due when it ends.
    """
    if pause.waits == "keep" or perform_at <= pause.since:
        return max(perform_at, resumed)
    held = resumed - max(pause.since, begun)
    return max(perform_at + max(held, timedelta(0)), resumed)


def spread(due: datetime, resumed: datetime, id: object, window: timedelta = SPREAD_OVER) -> datetime:
    """The due time, moved into the window after `resumed` when it is not later; the same for an id on every call."""
    if due > resumed:
        return due
    return resumed + window * (int.from_bytes(fingerprint(id, resumed.isoformat(), size=4), "big") / 2**32)
