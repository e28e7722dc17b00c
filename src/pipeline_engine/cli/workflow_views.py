"""How `workflows` shows documents: rows of tables and facts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.domain.workflows.migration import StepMove
from pipeline_engine.domain.workflows.program import read_program
from pipeline_engine.domain.workflows.workflow import fault_of, is_paused
from pipeline_engine.errors import Permanent

Document = Mapping[str, Any]

WORKFLOW_COLUMNS = ("workflow", "account", "name", "state", "trigger", "reentry", "steps", "version", "error")
ENROLLMENT_COLUMNS = ("enrolment", "contact", "status", "step", "version", "next (UTC)", "attempts", "why")
MOVE_COLUMNS = ("contacts", "are at", "go on with", "how")
STEP_COLUMNS = ("step", "type", "config")
REHEARSAL_COLUMNS = ("step", "type", "what it would do")
MAX_CONFIG = 60
"""Letters of a configuration that a table shows."""


def workflow_row(workflow: Document) -> tuple[object, ...]:
    """One workflow; what is wrong with it is found now, not read from its field `error`."""
    trigger = workflow.get("trigger")
    type = trigger.get("type") if isinstance(trigger, Mapping) else None
    names = (workflow.get(name) for name in ("_id", "account_id", "name"))
    reentry = workflow.get("reentry") or "never"
    return (*names, _state(workflow), type, reentry, _count(workflow), workflow.get("version"), fault_of(workflow))


def _state(workflow: Document) -> str:
    if is_paused(workflow):
        return "paused"
    return "active" if workflow.get("active") is True else "off"


def _count(workflow: Document) -> int | None:
    steps = workflow.get("steps")
    return len(steps) if isinstance(steps, list) else None


def step_rows(workflow: Document) -> list[tuple[object, ...]]:
    """The steps as they are written; none when they cannot be read."""
    try:
        program = read_program(workflow.get("steps"))
    except Permanent:
        return []
    return [(step.path, step.type, _config(_written(workflow.get("steps"), step.path))) for step in program]


def _written(steps: Any, path: str) -> Any:
    """The configuration at a path such as `3.then.1`."""
    config: Any = {}
    for part in path.split("."):
        if part.isdecimal():
            config = steps[int(part) - 1].get("config") or {}
        else:
            steps = config.get(part) or []
    return {name: value for name, value in config.items() if name not in ("then", "else")}


def _config(config: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}: {value}" for name, value in config.items())
    return text if len(text) <= MAX_CONFIG else f"{text[:MAX_CONFIG]}…"


def facts(workflow: Document, counts: Mapping[str, int]) -> list[tuple[str, object]]:
    """The workflow, and how many contacts are where."""
    columns = dict(zip(WORKFLOW_COLUMNS, workflow_row(workflow), strict=True))
    trigger = workflow.get("trigger")
    filter = trigger.get("filter") if isinstance(trigger, Mapping) else None
    contacts = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    return [*columns.items(), ("filter", filter or "none"), ("contacts", contacts or "none yet")]


def enrollment_row(one: Document) -> tuple[object, ...]:
    """One enrolment."""
    names = (one.get(name) for name in ("_id", "contact_id", "status"))
    log = one.get("log") or []
    step = f"behind {log[-1]['path']}" if log else "first"
    how = (one.get(name) for name in ("workflow_version", "next_at", "attempts"))
    waits = f"waits for {one['waiting_for']}" if one.get("waiting_for") else None
    return (*names, step, *how, one.get("reason") or one.get("error") or waits)


def move_row(move: StepMove, contacts: int) -> tuple[object, ...]:
    """Where contacts are, and where `workflows migrate` takes them."""
    if move.there is None:
        return contacts, move.here, "", "their run is completed"
    return contacts, move.here, move.there, "as before" if move.stays else "it begins now"
