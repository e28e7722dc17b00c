"""Ends the runs of leads from outside, at any action, also those that a daemon is working on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.leads.jobs import ENTER, wake
from pipeline_engine.domain.leads.schedule import RunEnd
from pipeline_engine.ids import object_id
from pipeline_engine.repos.lead_repos import LeadRepos
from pipeline_engine.repos.lead_stages import OPEN

EXITS: Mapping[str, bool] = {"reply": False, "unsubscribed": True, "bounced": True, "won": True, "meeting": True}
"""What can end a lead's run, and whether it does where the stage says nothing."""
CLOSED = ("won", "lost")
"""The states of a lead that is no longer worked on."""
REASONS = {"reply": "replied", "meeting": "a meeting was made"}


async def end_runs(app: App[LeadRepos], account_id: ObjectId, ids: Sequence[Any], end: RunEnd) -> int:
    """End those of these entries that are open; what a run that holds one still does changes nothing in it. Returns
    how many were ended."""
    query = {"_id": {"$in": list(ids)}, "status": {"$in": list(OPEN)}}
    seized = await app.repos.lead_stages.seize(account_id, query, end.document(app.clock.now()))
    if seized:
        await close_rows(app, account_id, seized)
        await wake(app, [ENTER], account_id)
    return len(seized)


async def close_rows(app: App[LeadRepos], account_id: ObjectId, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write into the rows of claimed entries whose run has ended that nothing more happens, and release the entries."""
    by_claim: dict[Any, list[Any]] = defaultdict(list)
    for entry in entries:
        by_claim[entry["claim_id"]].append(entry["_id"])
    for claim_id, ids in by_claim.items():
        await app.repos.lead_stage_actions.change_open(account_id, ids, {"status": "cancelled"})
        await app.repos.lead_stages.release_many(account_id, claim_id, ids)


async def exit_runs(
    app: App[LeadRepos],
    account_id: ObjectId,
    leads: Sequence[Any],
    exit: str,
    moments: Mapping[str, datetime] = MappingProxyType({}),
) -> int:
    """End the runs of these leads whose stage lets this exit end them; `lost` always does. Returns how many.

    `moments` says of a lead up to when: a run that began later goes on.
    """
    both = [form for lead in leads if (id := object_id(lead)) for form in (id, str(id))]
    fields = ("lead_id", "stage_id", "entered_at")
    found = await app.repos.lead_stages.find_open(account_id, both, *fields) if both else []
    found = [one for one in found if not began_after(one, moments.get(str(one["lead_id"])))]
    stages = await app.repos.lead_pauses.stages(account_id, [id for one in found if (id := object_id(_stage(one)))])
    ids = [one["_id"] for one in found if ends_run(stages.get(str(_stage(one)), {}), exit)]
    return await end_runs(app, account_id, ids, RunEnd("cancelled", REASONS.get(exit, exit))) if ids else 0


def began_after(entry: Mapping[str, Any], moment: datetime | None) -> bool:
    """Whether the lead entered its stage after this moment."""
    entered = usable_date(entry.get("entered_at"))
    return moment is not None and entered is not None and entered > moment


def _stage(entry: Mapping[str, Any]) -> object:
    return entry.get("stage_id")


def ends_run(stage: Mapping[str, Any], exit: str) -> bool:
    """Whether this exit ends the runs of leads in the stage."""
    exits = stage.get("exits")
    value = exits.get(exit) if isinstance(exits, Mapping) else None
    return value if isinstance(value, bool) else EXITS.get(exit, True)
