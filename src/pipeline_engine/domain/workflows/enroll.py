"""The job `workflow.enroll`: the account's consumed events, in their order, enrol contacts and end waits."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.domain.events.jobs import STEP, wake
from pipeline_engine.domain.events.onward import take_onward
from pipeline_engine.domain.events.publisher import MAX_CAUSE_DEPTH, depth_of
from pipeline_engine.domain.filters import matches, records_read
from pipeline_engine.domain.workflows.pauses import keep_to_pauses
from pipeline_engine.domain.workflows.subjects import Subject, records_of, subjects_of
from pipeline_engine.domain.workflows.workflow import Workflow, enrollment, new_id, read_workflow
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.lanes.classify_error import brief, where
from pipeline_engine.repos.crm_events import restricted_to
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from pipeline_engine.repos.workflows import MAX_OF_ACCOUNT

Document = Mapping[str, Any]
Earlier = dict[tuple[str, str], list[Document]]
"""{(workflow, contact): the contact's enrolments there}."""

NAME = "workflows"
"""In the fields `onward` and, when they are replayed, `only` of events."""
MAX_EVENTS = 200
SLICE_SECONDS = 2.0

log = logs.get(__name__)


async def run_enroll(app: App[WorkflowRepos], _cache: None, account_id: ObjectId) -> Outcome | None:
    """Take the account's consumed events, for a slice of time."""
    ends = time.monotonic() + SLICE_SECONDS
    active = await active_workflows(app, account_id)
    await keep_to_pauses(app, account_id)
    while events := await app.shared.crm_events.read_onward(account_id, NAME, MAX_EVENTS):
        await take_onward(app, account_id, NAME, events, partial(_take, app, account_id, active))
        if time.monotonic() >= ends or app.stopping.is_set():
            return Snooze()
    return None


async def active_workflows(app: App[WorkflowRepos], account_id: ObjectId) -> list[Workflow]:
    """The account's workflows that can be used. What is wrong with another one is stored in it."""
    found = []
    unchecked = await app.repos.workflows.unchecked_of(account_id)
    documents = await app.repos.workflows.active_of(account_id)
    for document in documents:
        error = None
        try:
            found.append(read_workflow(document))
        except Permanent as refusal:
            error = logs.clean(str(refusal))
        except Exception as fault:
            if not blames_document(fault):
                raise
            error = f"it cannot be read: {brief(fault)}"
        if str(document["_id"]) in unchecked or document.get("error") != error:
            await _note(app, document, error)
    if len(documents) == MAX_OF_ACCOUNT:
        error = f"the account has {MAX_OF_ACCOUNT:,} older active workflows, and no more are used: deactivate some"
        for document in await app.repos.workflows.younger_than(documents[-1], account_id, error, MAX_EVENTS):
            await _note(app, document, error)
    return found


async def _note(app: App[WorkflowRepos], document: Document, error: str | None) -> None:
    if error:
        log.warning("workflow.refused", workflow_id=str(document["_id"]), error=error)
    try:
        await app.repos.workflows.note_checked(document, error)
    except Exception as fault:
        if not blames_document(fault):
            raise
        # A workflow in which nothing can be stored keeps no other from enrolling.
        log.warning("workflow.not_noted", workflow_id=str(document["_id"]), error=brief(fault))


async def _take(
    app: App[WorkflowRepos], account_id: ObjectId, active: Sequence[Workflow], events: Sequence[Document]
) -> None:
    """Enrol the contacts of these events and wake those who wait for one; have the steps performed that are due now."""
    types = {type for one in events if isinstance(type := one.get("type"), str)}
    waited_for = await app.repos.enrollments.waiting_types(account_id, types)
    by_type: dict[str, list[Workflow]] = defaultdict(list)
    for workflow in active:
        by_type[workflow.type].append(workflow)
    used = types & (waited_for | by_type.keys())
    wanted = [one for one in events if isinstance(type := one.get("type"), str) and type in used]
    if not wanted:
        return
    triggered = [workflow for one in wanted for workflow in by_type.get(str(one["type"]), ())]
    records = records_read(*(workflow.filter for workflow in triggered))
    subjects = await subjects_of(app, account_id, wanted, records)
    matching = [
        (event, workflow, subject)
        for event in wanted
        for workflow in _meant(event, by_type.get(str(event["type"]), ()))
        for subject in subjects[event["_id"]]
        if _matches(workflow, subject, event)
    ]
    new = await _new(app, account_id, matching)
    await app.repos.enrollments.enroll(new)
    if await _wake(app, account_id, wanted, subjects, waited_for) or new:
        await wake(app, STEP, account_id)


def _meant(event: Document, workflows: Sequence[Workflow]) -> Sequence[Workflow]:
    """All of them; of an event that an operator replays for one workflow, only that one."""
    only = restricted_to(event, NAME)
    return [one for one in workflows if only in (None, str(one.id))]


def _matches(workflow: Workflow, subject: Subject, event: Document) -> bool:
    try:
        return matches(workflow.filter, subject.facts(event))
    except Exception as error:
        if not blames_document(error):
            raise
        # Whatever stands in one event keeps no other from being taken.
        log.warning("workflow.filter_failed", event_id=str(event["_id"]), error=brief(error), where=where(error))
        return False


async def _new(
    app: App[WorkflowRepos], account_id: ObjectId, matching: Sequence[tuple[Document, Workflow, Subject]]
) -> list[dict[str, Any]]:
    """The enrolments that these events begin."""
    if not matching:
        return []
    workflows = {str(workflow.id): workflow.id for _, workflow, _ in matching}
    contacts = {str(subject.contact["_id"]): subject.contact["_id"] for *_, subject in matching}
    earlier: Earlier = defaultdict(list)
    for one in await app.repos.enrollments.of_contacts(account_id, [*workflows.values()], [*contacts.values()]):
        earlier[str(one["workflow_id"]), str(one["contact_id"])].append(one)
    new, now = [], app.clock.now()
    for event, workflow, subject in matching:
        contact_id = subject.contact["_id"]
        before = earlier[str(workflow.id), str(contact_id)]
        if (id := new_id(workflow, contact_id, event, before, now)) is None:
            continue
        document = enrollment(workflow, id, contact_id, event, now)
        document |= {"account_id": account_id, **subject.references(), **_depth(event)}
        before.append(document)
        new.append(document)
    return new


def _depth(event: Document) -> dict[str, Any]:
    """How long the chain of causes is; one that is too long enrols the contact as failed, so that people see it."""
    depth = depth_of(event)
    if depth < MAX_CAUSE_DEPTH:
        return {"depth": depth}
    reason = f"not begun: event {event['_id']} is the last of {depth} events, each because of the one before"
    log.warning("workflow.chain_too_long", event_id=str(event["_id"]), depth=depth)
    return {"depth": depth, "status": "failed", "reason": reason, "next_at": None}


async def _wake(
    app: App[WorkflowRepos],
    account_id: ObjectId,
    events: Sequence[Document],
    subjects: Mapping[Any, Sequence[Subject]],
    waited_for: set[str],
) -> bool:
    about: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        if event["type"] in waited_for:
            for name, ids in records_of(event, subjects[event["_id"]]).items():
                about[str(event["type"])][name] += ids
    now = app.clock.now()
    woken = [await app.repos.enrollments.wake_waiting(account_id, type, ids, now) for type, ids in about.items()]
    return any(woken)
