"""A workflow as the CRM wrote it, read and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import bson

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.filters import Filter, read_filter
from pipeline_engine.domain.workflows.program import BAD_WORKFLOW, Program, read_program
from pipeline_engine.domain.workflows.step import happened_at
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import derived_id
from pipeline_engine.repos import workflows

Document = Mapping[str, Any]

MAX_COOLDOWN_SECONDS = 3650 * 86400
MAX_STEPS_MB = 4
"""Each enrolment has a copy of the steps, and a step may need its configuration twice in one command."""


@dataclass(frozen=True)
class Workflow:
    """`reentry` is `never`, `per_event`, or the cool-down between two enrolments of a contact."""

    document: Document
    type: str
    filter: Filter
    reentry: str | timedelta
    program: Program

    @property
    def id(self) -> Any:
        """Its `_id`, as the CRM stored it."""
        return self.document["_id"]


def read_workflow(document: Document) -> Workflow:
    """Raises: Permanent, which names what is wrong and what is allowed."""
    trigger = document.get("trigger")
    if not isinstance(trigger, Mapping):
        raise Permanent("trigger: an object with type and filter is wanted", BAD_WORKFLOW)
    type = trigger.get("type")
    if not isinstance(type, str) or not type:
        raise Permanent("trigger: type: the type of an event is wanted, such as contact.created", BAD_WORKFLOW)
    try:
        filter = read_filter(trigger.get("filter"))
    except Permanent as error:
        raise Permanent(f"trigger: {error}", BAD_WORKFLOW) from None
    _check_size(document.get("steps"))
    return Workflow(document, type, filter, _reentry(document.get("reentry")), read_program(document.get("steps")))


def _check_size(steps: object) -> None:
    megabytes = len(bson.encode({"steps": steps})) / 2**20
    if megabytes > MAX_STEPS_MB:
        raise Permanent(f"steps: {megabytes:.1f} MB; at most {MAX_STEPS_MB} MB are allowed", BAD_WORKFLOW)


def fault_of(document: Document) -> str | None:
    """What is wrong with the workflow; None when nothing is."""
    try:
        read_workflow(document)
    except Permanent as error:
        return str(error)
    return None


def _reentry(value: object) -> str | timedelta:
    if value in (None, "never"):
        return "never"
    if value == "per_event":
        return "per_event"
    seconds = value.get("cooldown_seconds") if isinstance(value, Mapping) else None
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < float(str(seconds)) <= MAX_COOLDOWN_SECONDS:
        raise Permanent("reentry: never, per_event or {cooldown_seconds: a number over 0} is wanted", BAD_WORKFLOW)
    return timedelta(seconds=float(str(seconds)))


def is_paused(document: Document | None) -> bool:
    """Whether the workflow is paused; the CRM may write anything true into `paused`."""
    return document is not None and workflows.is_paused(document)


def paused_since(document: Document, now: datetime) -> datetime:
    """Since when it is paused; now where the CRM does not say."""
    paused = document.get("paused")
    since = usable_date(paused.get("since")) if isinstance(paused, Mapping) else None
    return min(since, now) if since else now


def new_id(
    workflow: Workflow, contact_id: Any, event: Document, earlier: Sequence[Document], now: datetime
) -> Any | None:
    """The `_id` of the enrolment that the event begins for the contact; None when it begins none.

    `earlier` are the contact's enrolments in this workflow. The id follows from what is known now, so that of two runs
    that decide at the same time only one inserts. Pure.
    """
    if any(one.get("event_id") == event["_id"] for one in earlier):
        return None
    name = ("workflow", workflow.id, contact_id)
    if workflow.reentry == "per_event":
        return derived_id(*name, "event", event["_id"])
    moment = happened_at(event, now)
    if earlier and (isinstance(workflow.reentry, str) or not _cooled_down(workflow.reentry, moment, earlier)):
        return None
    return derived_id(*name, len(earlier))


def _cooled_down(cooldown: timedelta, moment: datetime | None, earlier: Sequence[Document]) -> bool:
    """Whether no earlier enrolment is under way, and the last began so long before this moment."""
    if any(one.get("status") in ("active", "paused") for one in earlier):
        return False
    starts = [usable_date(one.get("triggered_at")) or usable_date(one.get("enrolled_at")) for one in earlier]
    last = max(filter(None, starts), default=None)
    return moment is None or last is None or moment - last >= cooldown


def enrollment(workflow: Workflow, id: Any, contact_id: Any, event: Document, now: datetime) -> dict[str, Any]:
    """The document of a new enrolment, with the steps as they are now. Pure."""
    since = happened_at(event, now) or now
    return {
        "_id": id,
        "workflow_id": workflow.id,
        "workflow_version": workflow.document.get("version"),
        "contact_id": contact_id,
        "event_id": event["_id"],
        "event_type": workflow.type,
        "triggered_at": since,
        "status": "active",
        "step": 0,
        "steps": list(workflow.document.get("steps") or ()),
        "next_at": now,
        "enrolled_at": now,
        "arrived_at": now,
        "since": since,
        "seen": event["_id"],
        "createdAt": now,
        "updatedAt": now,
    }
