"""Where a run stands after an action. Pure: what one guarded write puts into the lead stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pipeline_engine.domain.leads.config import ActionConfig, ResponseConfig, read_config
from pipeline_engine.domain.leads.waits import Wait, end_of, zone_for
from pipeline_engine.errors import Permanent

Document = Mapping[str, Any]
EndStatus = Literal["completed", "left", "failed", "cancelled"]

SEND_LANES = {"email": "email", "sms": "sms"}
RESETS_MOVES = frozenset({"wait", "wait_for_response", "task"})
"""Types that make a lead stand still; a circle of moves without any of them would never rest."""


@dataclass(frozen=True)
class Position:
    """The action at which a run stands, when it may be performed, and how it stands there."""

    sequence: int
    type: str
    perform_at: datetime
    current_status: str = "pending"
    attempts: int = 0
    error: str | None = None

    @property
    def lane(self) -> str:
        """The lane whose jobs perform the action: internal, email or sms."""
        return SEND_LANES.get(self.type, "internal")

    def document(self) -> dict[str, Any]:
        """The fields of the lead stage."""
        return {
            "status": "active",
            "current_sequence": self.sequence,
            "current_type": self.type,
            "current_lane": self.lane,
            "current_status": self.current_status,
            "perform_at": self.perform_at,
            "attempts": self.attempts,
            "last_error": self.error,
        }

    def row(self) -> dict[str, Any]:
        """The fields of the action's row."""
        shown = {"status": self.current_status, "perform_at": self.perform_at, "attempts": self.attempts}
        return {**shown, "last_error": self.error}


@dataclass(frozen=True)
class RunEnd:
    """The run has ended."""

    status: EndStatus
    reason: str | None = None

    def document(self, now: datetime) -> dict[str, Any]:
        """The fields of the lead stage."""
        return {
            "status": self.status,
            "reason": self.reason,
            "left_at": now,
            "current_status": None,
            "perform_at": None,
        }


def following(rows: Sequence[Document], sequence: int) -> Document | None:
    """The row behind the one of this sequence number; None when that is the last."""
    return next((row for row in rows if row["sequence_number"] > sequence), None)


def opened(row: Document, now: datetime, lead: Document, account: Document) -> Position:
    """The position of a run that comes to this action now. A wait is due when it is over."""
    sequence, type = row["sequence_number"], str(row.get("type"))
    config = _config_or_none(row)
    if isinstance(config, Wait):
        return Position(sequence, type, end_of(config, now, zone_for(config, lead, account)))
    if isinstance(config, ResponseConfig):
        return Position(sequence, type, now + config.timeout, "waiting_response")
    return Position(sequence, type, now)


def _config_or_none(row: Document) -> ActionConfig | None:
    """A configuration that cannot be read is refused when the action is performed."""
    try:
        return read_config(row)
    except Permanent:
        return None
