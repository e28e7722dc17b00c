"""Enriches contacts by Apollo.io when that was last done 30 days ago or never, within a budget per account and day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from pipeline_engine.domain.events.relay import crm_event, publish_due
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.provider_rate import take_call
from pipeline_engine.errors import Permanent, RateLimited
from pipeline_engine.providers.email_address import read_email_address
from pipeline_engine.providers.enrichment import MAX_PEOPLE, Person
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contacts import CONTACTS
from pipeline_engine.settings import Settings

REFUSED_CALLS = ("http_400", "http_422")
"""Answers that may be the fault of a single address."""


async def run(work: JobWork) -> JobResult:
    """Look contacts up, ten at a time. Raises: RateLimited when the calls of this minute are used up; Transient;
    Permanent when Apollo refuses the key."""
    settings, repo = work.app.settings, work.app.repos.contact_enrichment
    before = work.app.clock.now() - timedelta(days=settings.contact_sync_days)
    left = budget(work.profile, settings) - await repo.count_asked(work.account_id, local_midnight(work))
    done = failed = 0
    while left > 0 and (contacts := await repo.find_due(work.account_id, before, min(MAX_PEOPLE, left))):
        if work.is_over:
            return JobResult(done, failed, more=True)
        addressed = await _with_address(work, contacts)
        try:
            refused = await _look_up(work, addressed) if addressed else 0
        except RateLimited:
            if not done:
                raise
            return JobResult(done, failed, more=True)  # so that what was done is counted
        done, failed, left = done + len(addressed) - refused, failed + refused, left - len(addressed)
    return JobResult(done, failed)


async def _with_address(work: JobWork, contacts: Sequence[Document]) -> list[Document]:
    """Those of the contacts whose address is one; the others rest until their next turn."""
    addressed = [one for one in contacts if is_address(one["email"])]
    for contact in contacts:
        if contact not in addressed:
            await work.app.repos.contact_enrichment.skip(contact)
    return addressed


def budget(profile: Document, settings: Settings) -> int:
    """How many contacts of the account may be looked up on one day."""
    given = profile.get("enrichment_budget_per_day")
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < 1e9
    return int(given) if is_number else settings.contact_sync_budget  # type: ignore[arg-type]


def local_midnight(work: JobWork) -> datetime:
    """The beginning of the account's day."""
    today = work.app.clock.now().astimezone(work.zone).date()
    return datetime.combine(today, time(), work.zone).astimezone(UTC)


def is_address(email: Any) -> bool:
    try:
        read_email_address(email)
    except Permanent:
        return False
    return True


async def _look_up(work: JobWork, contacts: Sequence[Document]) -> int:
    """Look the contacts up and store what is known. Returns how many Apollo refuses to look up."""
    await take_call(work.app, "apollo", "calls", work.app.settings.apollo_calls_per_minute)
    work.check()
    await work.app.repos.contact_enrichment.set_asked(contacts)
    try:
        people = await work.app.integrations.enrichment.match([one["email"].strip() for one in contacts])
    except Permanent as error:
        if error.code not in REFUSED_CALLS:
            raise
        return await _one_by_one(work, contacts)
    for contact, person in zip(contacts, people, strict=True):
        await _store(work, contact, person)
    return 0


async def _one_by_one(work: JobWork, contacts: Sequence[Document]) -> int:
    """After a refusal that may be due to one of them: returns how many Apollo refuses when it is asked about each."""
    if len(contacts) == 1:
        await work.app.repos.contact_enrichment.skip(contacts[0])
        return 1
    return sum([await _look_up(work, [contact]) for contact in contacts])


async def _store(work: JobWork, contact: Document, person: Person | None) -> None:
    repo = work.app.repos.contact_enrichment
    if person is None:
        await repo.skip(contact)
        return
    data = {"contact_id": str(contact["_id"]), "source": "enrichment"}
    event = crm_event(f"{JOB.name}:{contact['_id']}:{work.slot}", "contact.updated", None, data)
    stored = await repo.enrich(contact, person.known, event)
    if stored and stored.get("events_due"):
        await publish_due(work.app, CONTACTS, stored)


def needs(settings: Settings) -> str | None:
    return None if settings.apollo_api_key else "APOLLO_API_KEY is not set"


JOB = CrmJob("crm.contact_sync", DailyAt(time(2)), run, needs)
