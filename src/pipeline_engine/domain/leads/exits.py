"""Looks for what ends runs from outside: suppressions, bounces, won deals, meetings, and leads that were closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.ending import exit_runs
from pipeline_engine.domain.messages.suppress import add_hashes
from pipeline_engine.ids import object_id
from pipeline_engine.repos.lead_exits import SOURCES
from pipeline_engine.repos.lead_repos import LeadRepos
from pipeline_engine.repos.messages import SUPPRESSIONS

Document = Mapping[str, Any]
MAX_READ = 500
EXIT_OF_EVENT = {"email.bounced": "bounced", "deal.won": "won"}


async def run_exits(app: App[LeadRepos], _cache: None, _id: str) -> None:
    """Read every source on from its mark and end the runs that this ends. Doing it twice ends nothing more."""
    await _closed_leads(app)
    for source in SOURCES:
        async for page in app.repos.lead_exits.pages(source, MAX_READ):
            if source.collection == SUPPRESSIONS.name:
                await add_hashes(app, page)
            for (account_id, exit), leads in (await _exits(app, source.collection, page)).items():
                await exit_runs(app, account_id, leads, exit)


async def _closed_leads(app: App[LeadRepos]) -> None:
    while found := await app.repos.lead_exits.closed_leads(MAX_READ):
        for lead in found:
            if account_id := object_id(lead.get("account_id")):
                await exit_runs(app, account_id, [lead["_id"]], lead["status"])
            await app.repos.lead_exits.mark_seen(lead)


async def _exits(
    app: App[LeadRepos], collection: str, documents: Sequence[Document]
) -> dict[tuple[ObjectId, str], list[Any]]:
    """{(account, exit): leads} that these documents of a source stand for."""
    found: dict[tuple[ObjectId, str], list[Any]] = defaultdict(list)
    for document in documents:
        if account_id := object_id(document.get("account_id")):
            exit, leads = await _exit(app, account_id, collection, document)
            found[account_id, exit] += leads
    return {key: leads for key, leads in found.items() if leads}


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
            return EXIT_OF_EVENT[document["type"]], [] if may_pass else await _leads_of(app, account_id, data)
        case "calendar_events":
            attendees = document.get("attendees")
            addresses = (
                [one for each in attendees if isinstance(each, str) for one in _spellings(each)]
                if isinstance(attendees, list)
                else []
            )
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
    if lead := object_id(data.get("lead_id")):
        return [lead]
    deal = object_id(data.get("deal_id"))
    lead = object_id(await app.repos.lead_exits.lead_of_deal(account_id, deal)) if deal else None
    return [lead] if lead else []
