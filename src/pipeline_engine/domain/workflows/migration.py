"""Brings a workflow's steps as they are now to those who are under way in it with older ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import STEP, wake
from pipeline_engine.domain.workflows.control import account_of, look_up
from pipeline_engine.domain.workflows.program import Program, read_program, step_at
from pipeline_engine.domain.workflows.step import WorkflowStep
from pipeline_engine.domain.workflows.workflow import Document, read_workflow
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.workflow_repos import WorkflowRepos


@dataclass(frozen=True)
class StepMove:
    """Where contacts stand in older steps, and where they go on; `there` None: their run is then completed."""

    here: str
    there: str | None
    stays: bool
    """They stand at the same step, and what they wait for stays as it is."""


@dataclass(frozen=True)
class WorkflowMigration:
    """`moved`: how many contacts have the new steps now; `busy`: how many were just acting."""

    moved: int
    busy: int


def target_of(step: WorkflowStep, program: Program) -> tuple[WorkflowStep | None, bool]:
    """Where a contact goes on that stands at `step` of older steps, and whether it is the same step. Pure.

    The same step is the one with the same type and configuration, wherever it stands now. Without one, the step at the
    same place takes over, or the first behind it; at the end of the list, the run is completed.
    """
    if same := next((one for one in program if one.key == step.key), None):
        return same, True
    place = next((one for one in program if one.path == step.path), None)
    behind = next((one for one in program if _order(one.path) >= _order(step.path)), None)
    return place or behind, False


def _order(path: str) -> tuple[int, ...]:
    """The place of a step, in the order in which steps are written."""
    return tuple(int(part) if part.isdecimal() else ("then", "else").index(part) for part in path.split("."))


async def preview(app: App[WorkflowRepos], workflow_id: ObjectId) -> list[tuple[StepMove, int]]:
    """Where those with older steps stand and would go on, with how many they are. Changes nothing.

    Raises: Permanent `not_found`, or `bad_workflow` when the steps cannot be used as they are now.
    """
    workflow, program = await _read(app, workflow_id)
    older = await _with_older_steps(app, workflow)
    return sorted(Counter(_move(one, program) for one in older).items(), key=lambda one: one[0].here)


async def migrate(app: App[WorkflowRepos], workflow_id: ObjectId) -> WorkflowMigration:
    """Give those with older steps the steps as they are now. What was sent or done before is not repeated.

    Raises: as `preview`.
    """
    workflow, program = await _read(app, workflow_id)
    older = await _with_older_steps(app, workflow)
    moves = [(one, _values(app, one, workflow, program)) for one in older]
    moved = await app.repos.enrollments.move(moves)
    await wake(app, STEP, account_of(workflow))
    return WorkflowMigration(moved, len(older) - moved)


async def _read(app: App[WorkflowRepos], workflow_id: ObjectId) -> tuple[Document, Program]:
    workflow = await look_up(app, workflow_id)
    return workflow, read_workflow(workflow).program


async def _with_older_steps(app: App[WorkflowRepos], workflow: Document) -> list[Document]:
    """Those under way whose steps differ from the workflow's, and can be read."""
    found = await app.repos.workflow_records.open_of(account_of(workflow), workflow["_id"])
    now = list(workflow.get("steps") or ())
    return [one for one in found if isinstance(one.get("steps"), list) and one["steps"] != now and _step(one)]


def _step(enrollment: Document) -> WorkflowStep | None:
    try:
        return step_at(read_program(enrollment["steps"]), enrollment)
    except Permanent:
        return None


def _move(enrollment: Document, program: Program) -> StepMove:
    step = _step(enrollment)
    assert step is not None  # noqa: S101 - only such enrolments are read
    target, stays = target_of(step, program)
    return StepMove(step.name, target.name if target else None, stays)


def _values(
    app: App[WorkflowRepos], enrollment: Document, workflow: Mapping[str, Any], program: Program
) -> dict[str, Any]:
    """What changes in an enrolment that is moved."""
    step, now = _step(enrollment), app.clock.now()
    assert step is not None  # noqa: S101 - only such enrolments are read
    target, stays = target_of(step, program)
    pinned = {"steps": list(workflow.get("steps") or ()), "workflow_version": workflow.get("version")}
    number = {"step": target.number if target else len(program)}
    if stays:
        return {**pinned, **number}
    begun = {"arrived_at": now, "next_at": now, "deadline": None, "attempts": 0, "crashes": 0}
    # What begins now is not put off by the part of a pause that is over.
    paused = {"paused_at": now} if enrollment.get("status") == "paused" else {}
    return {**pinned, **number, **begun, **paused}
