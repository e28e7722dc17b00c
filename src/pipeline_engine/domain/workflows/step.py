"""What a step works with: its configuration, the enrolment, the records it may read; and how it can end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias

from bson import ObjectId
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.claimed import Claim
from pipeline_engine.domain.filters import Facts, Filter, records_read
from pipeline_engine.domain.messages.earlier_sends import send_keys
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import fingerprint, object_id
from pipeline_engine.repos.enrollments import Enrollments
from pipeline_engine.repos.workflow_repos import WorkflowRepos

Document = Mapping[str, Any]
COLLECTIONS = {"contact": "contacts", "deal": "deals", "lead": "leads"}
"""By name of a record in filters and templates, the collection that has it."""
EVENT_FACTS = ("type", "version", "user_id", "key", "occurred_at", "data")
MAX_SECONDS = 3650 * 86400
"""Ten years: a longer wait is a typing error."""


class StepConfig(BaseModel):
    """Base of the configurations of steps. An option that a type does not have is a typing error, and is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _read_id(value: object) -> ObjectId:
    if found := object_id(value):
        return found
    raise ValueError("an id of 24 hex digits is wanted")


def _read_text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError("a text that is not blank is wanted")


RecordId = Annotated[ObjectId, BeforeValidator(_read_id)]
NonBlank = Annotated[str, BeforeValidator(_read_text)]
Lasting = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
"""A number of seconds."""


@dataclass(frozen=True)
class WorkflowStep:
    """One step of a workflow as it is written; `path` is its place as people count: `3`, or `3.then.1`.

    `then` is the number of the step behind it, `otherwise` that of a branch whose condition does not hold; a number
    behind the last step is the end. `key` is the same for as long as type and configuration are.
    """

    number: int
    path: str
    type: str
    config: Any
    key: str
    then: int
    otherwise: int

    @property
    def name(self) -> str:
        """How errors and lists name it."""
        return f"step {self.path} ({self.type})"


@dataclass(frozen=True)
class StepPassed:
    """The run goes on behind the step; `otherwise`: in the other part of a branch. `events` were caused by it.

    `since` and `seen`: an event that comes after that time, and is not this one, may end a later wait.
    """

    did: str = ""
    otherwise: bool = False
    events: Sequence[Document] = ()
    since: datetime | None = None
    seen: Any = None


@dataclass(frozen=True)
class StepWaits:
    """The run stands at the step still, until this time; `deadline` is kept when the step is begun again. None: an
    event may have set another time meanwhile, which stands."""

    until: datetime | None
    deadline: datetime | None = None


@dataclass(frozen=True)
class RunOver:
    """The run is over."""

    status: str
    reason: str | None = None


StepResult: TypeAlias = StepPassed | StepWaits | RunOver


@dataclass
class StepRun:
    """A step that is performed for an enrolment. Records are read when they are first asked for."""

    app: App[WorkflowRepos]
    account_id: ObjectId
    enrollment: Document
    step: WorkflowStep
    until: float
    """When the slice is over, in the monotonic clock."""
    claim: Claim[Enrollments] | None = None
    """None in a rehearsal, which writes nothing."""
    records: dict[str, Document] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return self.app.clock.now()

    @property
    def unit_key(self) -> str:
        """Part of the ids of what the step writes: one that is performed again writes the same documents."""
        return f"workflow:{self.enrollment['_id']}:{self.step.key}"

    @property
    def source(self) -> str:
        """By what its messages are sent."""
        return f"workflow:{self.enrollment.get('workflow_id')}"

    @property
    def is_repeated(self) -> bool:
        """Whether an earlier attempt at the step may have taken effect."""
        one = self.enrollment
        return int(one.get("attempts") or 0) > 1 or bool(one.get("crashes") or one.get("retried"))

    def arrived_at(self) -> datetime:
        """When the run came to the step."""
        moment = self.enrollment.get("arrived_at")
        return moment if isinstance(moment, datetime) else self.now

    def deadline(self, seconds: float) -> datetime:
        """The end of a wait of so many seconds, put off by pauses."""
        stored, resumed = self.enrollment.get("deadline"), self.enrollment.get("resumed_at")
        if isinstance(stored, datetime):
            return stored
        # A pause came before the wait was begun, and so put no deadline off.
        begins = max(self.arrived_at(), resumed) if isinstance(resumed, datetime) else self.arrived_at()
        return begins + timedelta(seconds=seconds)

    async def record(self, name: str) -> Document:
        """The enrolment's contact, deal or lead; empty where it has none."""
        if name not in self.records:
            id = self.enrollment.get(f"{name}_id")
            found = await self.app.repos.workflow_records.read(COLLECTIONS[name], self.account_id, [id] if id else [])
            self.records[name] = next(iter(found.values()), {})
        return self.records[name]

    async def contact(self) -> Document:
        """Raises: Permanent when the contact is gone."""
        if contact := await self.record("contact"):
            return contact
        raise Permanent("the contact does not exist any more", "contact_gone")

    async def facts(self, filter: Filter) -> Facts:
        """What the filter reads: the event that enrolled the contact, and the records as they are now."""
        event = await self._event()
        return {**event_facts(event), **{name: await self.record(name) for name in records_read(filter)}}

    async def _event(self) -> Document:
        if "event" not in self.records:
            id = self.enrollment.get("event_id")
            found = None if id is None else await self.app.repos.workflow_records.event(self.account_id, id)
            self.records["event"] = found or {}
        return self.records["event"]

    async def still_wanted(self, keys: Collection[str]) -> Collection[str]:
        """As `send_all` asks: the keys, unless the enrolment was paused, ended or taken over meanwhile."""
        held = self.claim is not None and await self.app.repos.enrollments.holds(self.claim.document)
        return keys if held else ()


def event_facts(event: Document) -> dict[str, Any]:
    """The event's part of the facts that filters read."""
    return {**{name: event.get(name) for name in EVENT_FACTS}, "id": event.get("_id")}


def happened_at(event: Document, now: datetime) -> datetime | None:
    """When the event happened, by its own time or else by when it was consumed; None where neither is known. A clock
    that ran ahead, or a year typed wrong, does not make it later than now. Pure."""
    moment = usable_date(event.get("occurred_at")) or usable_date(event.get("ended_at"))
    return min(moment, now) if moment else None


def keys_of_sends(enrollment: Document, step: WorkflowStep) -> list[str]:
    """The keys under which `effects` has what the step sends: a retry by hand makes another one, the last."""
    return send_keys(f"workflow:{enrollment['_id']}:{step.key}", int(enrollment.get("repeats") or 0))


def step_key(type: str, config: object, occurrence: int) -> str:
    """A short text that is the same for equal configurations, also where the step stands elsewhere in a newer version
    of its workflow; `occurrence` counts equal steps."""
    return f"{fingerprint(type, _canonical(config), size=6).hex()}.{occurrence}"


def _canonical(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!s}={_canonical(value[key])}" for key in sorted(value, key=str)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # the CRM's shell stores whole numbers as doubles
    return f"{'str' if isinstance(value, ObjectId) else type(value).__name__}:{value}"
