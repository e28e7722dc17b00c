"""Finds accounts with consumed events for workflows, with due enrolments, and with pauses that changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import ENROLL, STEP
from pipeline_engine.domain.events.units import account_units, event_units
from pipeline_engine.domain.unit import Unit
from pipeline_engine.domain.workflows.enroll import NAME
from pipeline_engine.domain.workflows.pauses import accounts_to_keep
from pipeline_engine.ids import object_id
from pipeline_engine.repos.workflow_repos import WorkflowRepos

MAX_COUNTED = 100_000
MAX_SET_ASIDE = 200


async def find(app: App[WorkflowRepos]) -> list[Unit]:
    """Accounts with something to do before the next sweep; their jobs wait for the rest. Those that are not active have
    no steps to perform. Enrolments that name no account are set aside."""
    until = app.clock.now() + timedelta(seconds=app.settings.event_sweep_seconds)
    due = await app.repos.enrollments.due_accounts(until)
    if any(object_id(one) is None for one in due):
        await app.repos.enrollments.set_strange_accounts_aside(MAX_SET_ASIDE)
    return [*await _enrolling(app), *await _stepping(app, due)]


async def find_abandoned(app: App[WorkflowRepos]) -> list[Unit]:
    """Accounts with enrolments whose holder has died, and with consumed events, for which a job may be just ending."""
    left = await app.repos.enrollments.abandoned_accounts()
    events = await app.shared.crm_events.onward_accounts(NAME)
    return [*account_units(ENROLL, events), *await _stepping(app, left)]


async def find_due_now(app: App[WorkflowRepos]) -> list[Unit]:
    """Consumed events that enrol or end waits, and due enrolments, which is what `run-once` counts."""
    enrolling = await _enrolling(app)
    events = event_units(enrolling, await app.shared.crm_events.find_onward(NAME, MAX_COUNTED))
    accounts = {unit.account for unit in events}
    now = app.clock.now()
    due = await app.repos.enrollments.find_due(now, MAX_COUNTED)
    stepping = await _stepping(app, [one.get("account_id") for one in due])
    # Accounts without new events may still have workflows to look at: bad ones, and pauses that changed.
    rest = [unit for unit in enrolling if unit.account not in accounts]
    return [*events, *event_units(stepping, due), *rest]


async def _enrolling(app: App[WorkflowRepos]) -> list[Unit]:
    events = await app.shared.crm_events.onward_accounts(NAME)
    unchecked = await app.repos.workflows.unchecked_accounts()
    return account_units(ENROLL, [*events, *unchecked, *await accounts_to_keep(app)])


async def _stepping(app: App[WorkflowRepos], accounts: Iterable[Any]) -> list[Unit]:
    """A unit for each of these accounts that is active. The enrolments of the others stay due, and their jobs would
    take up the lane."""
    units = account_units(STEP, accounts)
    inactive = await app.shared.accounts.inactive([unit.id for unit in units])
    return [unit for unit in units if unit.id not in inactive]


async def outcomes(app: App[WorkflowRepos], ids: Sequence[str]) -> Mapping[str, str]:
    """{id of an event or an enrolment: succeeded|failed|busy}; an enrolment that waits has succeeded."""
    left = {str(one) for one in await app.shared.crm_events.not_taken(list(_forms(ids)), NAME)}
    known = [id for one in ids if (id := object_id(one))]
    fields = ("status", "next_at", "lease_owner")
    states = await app.repos.enrollments.states(known, *fields)
    now = app.clock.now()
    words = {str(id): _outcome(one, now) for id, one in states.items()}
    return {id: "busy" if id in left else words.get(id, "succeeded") for id in ids}


def _forms(ids: Sequence[str]) -> list[Any]:
    return [form for one in ids for form in (one, object_id(one)) if form is not None]


def _outcome(enrollment: Mapping[str, Any], now: Any) -> str:
    if enrollment.get("status") == "failed":
        return "failed"
    at = enrollment.get("next_at")
    is_due = enrollment.get("status") == "active" and (at is None or at <= now)
    return "busy" if is_due else "succeeded"
