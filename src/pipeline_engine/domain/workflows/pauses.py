"""Pauses of workflows: what the workflow says is carried over to those who are under way in it."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.workflows.workflow import is_paused, paused_since
from pipeline_engine.ids import object_id
from pipeline_engine.repos.workflow_repos import WorkflowRepos

log = logs.get(__name__)


async def keep_to_pauses(app: App[WorkflowRepos], account_id: ObjectId) -> None:
    """Pause the account's enrolments whose workflow is paused; let those go on whose workflow is not any more."""
    repos, now = app.repos, app.clock.now()
    for workflow in await repos.workflows.paused_of(account_id):
        if held := await repos.enrollments.pause_of(account_id, workflow["_id"], paused_since(workflow, now)):
            log.info("workflow.paused", workflow_id=str(workflow["_id"]), enrollments=held)
    waiting = await repos.enrollments.held_by_pauses(account_id)
    states = await repos.workflows.states(account_id, waiting)
    for id in waiting:
        if not is_paused(states.get(str(id))):
            released = await repos.enrollments.resume_of(account_id, id, now)
            log.info("workflow.resumed", workflow_id=str(id), enrollments=released)


async def accounts_to_keep(app: App[WorkflowRepos]) -> set[ObjectId]:
    """The accounts for which `keep_to_pauses` has something to do."""
    repos = app.repos
    paused = {str(one["_id"]): one for one in await repos.workflows.paused_ids()}
    to_pause = await repos.enrollments.active_in([one["_id"] for one in paused.values()]) if paused else []
    holding = await repos.enrollments.all_held_by_pauses()
    to_resume = [one["account_id"] for one in holding if str(one["workflow_id"]) not in paused]
    return {id for one in [*to_pause, *to_resume] if (id := object_id(one))}
