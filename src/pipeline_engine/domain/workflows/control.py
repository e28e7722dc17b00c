"""What an operator does to workflows and enrolments: pause, resume, let a failed enrolment go on."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import STEP, wake
from pipeline_engine.domain.workflows.pauses import keep_to_pauses
from pipeline_engine.domain.workflows.workflow import Document
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.workflow_repos import WorkflowRepos

log = logs.get(__name__)


async def look_up(app: App[WorkflowRepos], workflow_id: ObjectId) -> Document:
    """Raises: Permanent `not_found`."""
    if workflow := await app.repos.workflows.get(workflow_id):
        return workflow
    raise Permanent(f"there is no workflow {workflow_id}", "not_found")


def account_of(workflow: Document) -> ObjectId:
    """Raises: Permanent `bad_workflow` when the workflow names no account."""
    if account_id := object_id(workflow.get("account_id")):
        return account_id
    raise Permanent(f"workflow {workflow['_id']} names no account", "bad_workflow")


async def pause(app: App[WorkflowRepos], workflow_id: ObjectId) -> int:
    """Pause the workflow and all who are under way in it. Returns how many these are.

    Raises: Permanent `not_found`; `paused` when it is paused already.
    """
    workflow = await look_up(app, workflow_id)
    account_id = account_of(workflow)
    if not await app.repos.workflows.pause(workflow, app.clock.now()):
        raise Permanent(f"workflow {workflow_id} is paused already", "paused")
    await keep_to_pauses(app, account_id)
    return (await app.repos.workflow_records.count_of(account_id, workflow_id)).get("paused", 0)


async def resume(app: App[WorkflowRepos], workflow_id: ObjectId) -> None:
    """End the workflow's pause: all go on where they were, and what they wait for is put off by the pause.

    Raises: Permanent `not_found`; `not_paused` when it is not paused.
    """
    workflow = await look_up(app, workflow_id)
    account_id = account_of(workflow)
    if not await app.repos.workflows.resume(workflow):
        raise Permanent(f"workflow {workflow_id} is not paused", "not_paused")
    await keep_to_pauses(app, account_id)
    await wake(app, STEP, account_id)


async def run_retry(app: App[WorkflowRepos], _cache: None, enrollment_id: ObjectId) -> None:
    """Let an enrolment go on at the step at which it failed, with all its attempts: an operator retries its dead
    letter. One that has not failed stays as it is."""
    if not await app.repos.enrollments.again(enrollment_id, app.clock.now()):
        log.info("enrollment.not_retried", id=str(enrollment_id), reason="it has not failed")
        return
    enrollment = await app.repos.enrollments.get(enrollment_id)
    if account_id := object_id(enrollment and enrollment.get("account_id")):
        await wake(app, STEP, account_id)
