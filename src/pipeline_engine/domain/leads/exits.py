"""Looks for what ends runs from outside: suppressions, bounces, won deals, meetings, and leads that were closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.attendees import attendees_of
from pipeline_engine.domain.leads.ending import exit_runs
from pipeline_engine.domain.messages.suppress import add_hashes
from pipeline_engine.ids import object_id
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.lead_exits import SOURCES
from pipeline_engine.repos.lead_repos import LeadRepos
from pipeline_engine.repos.messages import SUPPRESSIONS

Document = Mapping[str, Any]
MAX_READ = 500
CLOCKS_DIFFER, PUBLISHED_LATE = timedelta(minutes=2), timedelta(days=1)
MOMENTS = {
    "crm_events": ("occurred_at", PUBLISHED_LATE),
    "activities": ("occurred_at", CLOCKS_DIFFER),
    "calendar_events": ("starts_at", CLOCKS_DIFFER),
}
"""By collection: the field that says when something happened, and how long after it a run may have begun that it ends,
as the lead may have been moved meanwhile. A suppression holds whenever it was made."""
ALWAYS = datetime.max.replace(tzinfo=UTC)
EXIT_OF_EVENT = {"email.bounced": "bounced", "deal.won": "won"}


async def run_exits(app: App[LeadRepos], _cache: None, _id: str) -> None:
    """Read what is new in every source and end the runs that this ends. Doing it twice ends nothing more."""
    exits = app.repos.lead_exits
    await _closed_leads(app)
    while events := await exits.unseen_events(MAX_READ):
        await _end_runs(app, CRM_EVENTS.name, events)
        await exits.mark_events(events)
    for source in SOURCES:
        async for page in exits.pages(source, MAX_READ):
            if source.collection == SUPPRESSIONS.name:
                await add_hashes(app, page)
            await _end_runs(app, source.collection, page)


async def _closed_leads(app: App[LeadRepos]) -> None:
    while found := await app.repos.lead_exits.closed_leads(MAX_READ):
        for lead in found:
            if account_id := object_id(lead.get("account_id")):
                await exit_runs(app, account_id, [lead["_id"]], lead["status"])
            await app.repos.lead_exits.mark_seen(lead)


async def _end_runs(app: App[LeadRepos], collection: str, documents: Sequence[Document]) -> None:
    """End the runs for which these documents of a source stand, but not those that began after what one of them tells
    of: it may have been written late, or be the history of a calendar."""
    found: dict[tuple[ObjectId, str], dict[str, datetime]] = defaultdict(dict)
    for document in documents:
        if account_id := object_id(document.get("account_id")):
            exit, leads = await _exit(app, account_id, collection, document)
            known, at = found[account_id, exit], _until(collection, document)
            known |= {id: max(at, known.get(id, at)) for id in map(str, leads)}
    for (account_id, exit), happened in found.items():
        await exit_runs(app, account_id, [*happened], exit, happened)


def _until(collection: str, document: Document) -> datetime:
    """A run that began later is not ended by the document."""
    field, after = MOMENTS.get(collection, ("", timedelta(0)))
    at = usable_date(document.get(field))
    return at + after if at else ALWAYS


async def _exit(
    app: App[LeadRepos], account_id: ObjectId, collection: str, document: Document
) -> tuple[str, list[Any]]:
    match collection:
        case "suppressions":
            return _suppressed(document), await app.repos.leads.by_address(
                account_id, _spellings(document.get("address"))
            )
        case "crm_events":
            data = document.get("data")
            may_pass = isinstance(data, Mapping) and data.get("bounce_type") == "soft"
            exit = EXIT_OF_EVENT.get(str(document["type"]), "")  # a list that holds the type is found as well
            return exit, [] if may_pass or not exit else await _leads_of(app, account_id, data)
        case "calendar_events":
            addresses = attendees_of(document)
            return "meeting", await app.repos.leads.by_address(account_id, addresses) if addresses else []
    return "meeting", await _leads_of(app, account_id, document)


def _suppressed(document: Document) -> str:
    return "bounced" if "bounce" in str(document.get("reason")).lower() else "unsubscribed"


def _spellings(address: object) -> list[str]:
    return sorted({str(address), str(address).lower()})


async def _leads_of(app: App[LeadRepos], account_id: ObjectId, data: object) -> list[Any]:
    """The lead that an event or activity names, itself or by its deal."""
    if not isinstance(data, Mapping):
        return []
    lead, deal = (object_id(data.get(f"{name}_id") or data.get(f"{name}Id")) for name in ("lead", "deal"))
    if lead:
        return [lead]
    lead = object_id(await app.repos.lead_exits.lead_of_deal(account_id, deal)) if deal else None
    return [lead] if lead else []
