"""Finds accounts with due mails of sequences, and with sequences that rest or go on: one indexed question each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.events.units import account_units, event_units
from pipeline_engine.domain.sequences.jobs import SEND
from pipeline_engine.domain.sequences.pauses import accounts_to_keep
from pipeline_engine.domain.unit import Unit
from pipeline_engine.ids import object_id
from pipeline_engine.repos.sequence_repos import SequenceRepos
from pipeline_engine.settings import Settings

NAME = "crm.sequence_email"
MAX_COUNTED = 100_000


def skipped(settings: Settings) -> str | None:
    """Why this process leaves sequences out; None when it sends them."""
    off = {name.strip().removeprefix("crm.") for name in (settings.crm_jobs_off or "").split(",")}
    return "switched off by CRM_JOBS_OFF" if NAME.removeprefix("crm.") in off else None


async def find(app: App[SequenceRepos]) -> list[Unit]:
    """Accounts with a mail due before the next sweep; their jobs wait for the rest."""
    if skipped(app.settings):
        return []
    until = app.clock.now() + timedelta(seconds=app.settings.sequence_sweep_seconds)
    due = await app.repos.sequence_enrollments.due_accounts(until)
    return account_units(SEND, [*due, *await accounts_to_keep(app)])


async def find_abandoned(app: App[SequenceRepos]) -> list[Unit]:
    """Accounts with enrolments whose holder has died."""
    if skipped(app.settings):
        return []
    return account_units(SEND, await app.repos.sequence_enrollments.abandoned_accounts())


async def find_due_now(app: App[SequenceRepos]) -> list[Unit]:
    """Due enrolments, which is what `run-once` counts."""
    if skipped(app.settings):
        return []
    due = await app.repos.sequence_enrollments.find_due(app.clock.now(), MAX_COUNTED)
    units = event_units(account_units(SEND, [one.get("account_id") for one in due]), due)
    accounts = {unit.account for unit in units}
    keep = account_units(SEND, await accounts_to_keep(app))
    return [*units, *(unit for unit in keep if unit.account not in accounts)]


async def outcomes(app: App[SequenceRepos], ids: Sequence[str]) -> Mapping[str, str]:
    """{id of an enrolment: succeeded|failed|busy}; one that waits for its next mail has succeeded."""
    known = [id for one in ids if (id := object_id(one))]
    states = await app.repos.sequence_enrollments.states(known, "status", "next_at")
    now = app.clock.now()
    words = {str(id): _outcome(one, now) for id, one in states.items()}
    return {id: words.get(id, "succeeded") for id in ids}


def _outcome(enrollment: Mapping[str, Any], now: datetime) -> str:
    if enrollment.get("status") == "failed":
        return "failed"
    at = enrollment.get("next_at")
    is_due = enrollment.get("status") == "active" and not (isinstance(at, datetime) and at > now)
    return "busy" if is_due else "succeeded"
