"""Takes up what ends waits: replies of leads, and tasks that are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.leads.batch import work_off
from pipeline_engine.domain.leads.ending import exit_runs
from pipeline_engine.domain.leads.responses import is_reply
from pipeline_engine.domain.leads.work import Slice
from pipeline_engine.ids import object_id

Document = Mapping[str, Any]


async def take_signals(slice: Slice) -> int:
    """End the waits for which something has come. Returns how many responses and tasks were settled; those of an entry
    that another run holds, or that is paused, are left for a later look."""
    return await _responses(slice) + await _tasks(slice)


async def _responses(slice: Slice) -> int:
    repos, account, limit = slice.app.repos, slice.account_id, slice.app.settings.leads_batch
    found = await repos.lead_responses.unhandled(account, limit)
    if not found:
        return 0
    leads = [form for one in found if (id := object_id(one.get("lead_id"))) for form in (id, str(id))]
    await exit_runs(slice.app, account, [one.get("lead_id") for one in found if is_reply(one)], "reply")
    await _work_off(slice, {"lead_id": {"$in": leads}, "current_status": "waiting_response"}, limit)
    busy = await _untouchable(slice, leads, "waiting_response")
    settled = [one["_id"] for one in found if str(one.get("lead_id")) not in busy]
    await repos.lead_responses.mark_handled(account, settled, slice.app.clock.now())
    return len(settled)


async def _tasks(slice: Slice) -> int:
    repos, account, limit = slice.app.repos, slice.account_id, slice.app.settings.leads_batch
    found = await repos.lead_tasks.unhandled(account, limit)
    if not found:
        return 0
    ids = [one["lead_stage_id"] for one in found if isinstance(one["lead_stage_id"], ObjectId | str)]
    await _work_off(slice, {"_id": {"$in": ids}, "current_status": "waiting_task"}, limit)
    states = {one["_id"]: one for one in await repos.lead_stages.states_of(ids)}
    busy = {str(id) for id, one in states.items() if one.get("current_status") == "waiting_task" and _is_held(one)}
    settled = [one["_id"] for one in found if str(one["lead_stage_id"]) not in busy]
    await repos.lead_tasks.mark_handled(account, settled, slice.app.clock.now())
    return len(settled)


async def _work_off(slice: Slice, query: dict[str, Any], limit: int) -> None:
    where = {"status": "active", **query, **slice.where}
    claimed = await slice.app.repos.lead_stages.claim_many(slice.account_id, where, limit, None)
    if claimed:
        await work_off(slice, claimed)


async def _untouchable(slice: Slice, leads: Sequence[Any], status: str) -> set[str]:
    """The leads with an entry that waits and that this slice may not touch."""
    fields = ("lead_id", "current_status", "lease_owner", "stage_id", "pipeline_id")
    found = await slice.app.repos.lead_stages.find_open(slice.account_id, leads, *fields)
    waiting = [one for one in found if one.get("current_status") == status]
    return {str(one["lead_id"]) for one in waiting if _is_held(one) or _is_paused(slice, one)}


def _is_held(entry: Document) -> bool:
    return bool(entry.get("lease_owner"))


def _is_paused(slice: Slice, entry: Document) -> bool:
    return any(entry.get(name) in rule["$nin"] for name, rule in slice.where.items())
