"""What a slice works with: the account, the claimed entries with their rows and leads, and how an action can end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.config import Branch
from pipeline_engine.domain.leads.schedule import Position, RunEnd
from pipeline_engine.domain.leads.start_delays import StartDelays, edges_with
from pipeline_engine.domain.leads.turns import Turns
from pipeline_engine.lanes import JobKind
from pipeline_engine.repos.lead_repos import LeadRepos

Document = Mapping[str, Any]


@dataclass
class Slice:
    """One job of one account, until a time of the monotonic clock."""

    app: App[LeadRepos]
    turns: Turns
    account_id: ObjectId
    account: Document
    lane: str
    until: float
    where: dict[str, Any] = field(default_factory=dict)
    """Leaves out what is paused."""
    wakes: set[JobKind[ObjectId]] = field(default_factory=set)
    """Jobs of the account for which this slice has made something due."""
    places: int = 0
    """How many more leads may come into running automation; fewer than none when a setting was lowered."""
    delays: StartDelays = field(init=False)

    def __post_init__(self) -> None:
        self.delays = StartDelays(edges_with(self.app.settings.leads_sla_seconds))


@dataclass
class Entry:
    """A claimed lead stage. `document` follows what this slice writes."""

    document: dict[str, Any]
    rows: Sequence[Document]
    lead: Document
    is_unwritten: bool = False
    """The run has come to its action within this slice, which performs it now; the row does not say so yet."""

    @property
    def id(self) -> Any:
        return self.document["_id"]

    @property
    def sequence(self) -> int:
        return int(self.document.get("current_sequence") or 0)

    @property
    def row(self) -> Document:
        """The row of the action at which the run stands."""
        return next(row for row in self.rows if row["sequence_number"] == self.sequence)

    @property
    def position(self) -> Position:
        """Where the run stands, as it was claimed."""
        one = self.document
        return Position(
            sequence=self.sequence,
            type=str(one.get("current_type")),
            perform_at=one["perform_at"],
            current_status=one.get("current_status") or "pending",
            attempts=int(one.get("attempts") or 0),
            error=one.get("last_error"),
        )


@dataclass(frozen=True)
class Performed:
    """The action has been performed, or is left out: the run goes on."""

    status: Literal["done", "skipped"] = "done"


@dataclass(frozen=True)
class Stay:
    """The run stands at the same action still, at this position; None: nothing has changed."""

    position: Position | None = None


@dataclass(frozen=True)
class Moved:
    """The lead goes to another stage, and its run here is over."""

    stage_id: ObjectId


@dataclass(frozen=True)
class Closed:
    """The run is over."""

    end: RunEnd


Result: TypeAlias = Performed | Stay | Moved | Closed
Results: TypeAlias = Sequence[tuple[Entry, Result]]
Act: TypeAlias = Callable[[Slice, Sequence[Entry]], AsyncIterator[Results]]
"""Performs the action at which all of the entries stand, with one configuration; yields how it ended for some of them
as soon as that is known. Raises: Permanent when it can be performed for none, other errors when for none now."""


def failed(reason: str) -> Closed:
    """The action cannot be performed: the run stops there and says why."""
    return Closed(RunEnd("failed", reason))


def taken(branch: Branch, reason: str) -> Result:
    """What a branch of a wait leads to."""
    match branch:
        case Branch("move", ObjectId() as stage_id):
            return Moved(stage_id)
        case Branch("stop"):
            return Closed(RunEnd("completed", reason))
    return Performed()
