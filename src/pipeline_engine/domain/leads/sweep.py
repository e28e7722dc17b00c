"""Finds accounts with due actions, waiting entries, replies or done tasks: one indexed question each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.jobs import ACTING, ENTER, EXITS, EXITS_ID, INTERNAL
from pipeline_engine.domain.unit import Unit
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import JobKind
from pipeline_engine.repos.lead_repos import LeadRepos

MAX_ACCOUNTS = 1000
MAX_COUNTED = 100_000
MAX_SET_ASIDE = 100
Kinds = dict[ObjectId, set[JobKind[ObjectId]]]


async def find(app: App[LeadRepos]) -> list[Unit]:
    """Accounts of which something is due before the next sweep, the longest due first; their jobs wait for the rest."""
    until = app.clock.now() + timedelta(seconds=app.settings.leads_sweep_seconds)
    await app.repos.due_leads.set_aside(await app.repos.due_leads.undated(MAX_SET_ASIDE))
    return [*await _exits(app), *_units(await _kinds(app, until))[:MAX_ACCOUNTS]]


async def find_abandoned(app: App[LeadRepos]) -> list[Unit]:
    """Accounts with entries whose holder has died, and what may not wait for the next sweep when the job that a change
    woke was just ending: exits, replies and done tasks."""
    kinds: Kinds = defaultdict(set)
    for account in _ids(await app.repos.due_leads.abandoned()):
        kinds[account] |= {ENTER, *ACTING.values()}
    await _add_signals(app, kinds)
    return [*await _exits(app), *_units(kinds)]


async def find_due_now(app: App[LeadRepos]) -> list[Unit]:
    """Entries that are due, which is what `run-once` counts; the first of each account brings the account's jobs."""
    now = app.clock.now()
    kinds = await _kinds(app, now)
    units = await _exits(app)
    for entry in await app.repos.due_leads.entries(now, MAX_COUNTED):
        if account := object_id(entry.get("account_id")):
            jobs = tuple((kind, account) for kind in kinds.pop(account, ()))
            units.append(Unit(str(entry["_id"]), str(account), jobs))
    # What is left has replies or done tasks only.
    return units + [Unit(f"{account}", str(account), ((INTERNAL, account),)) for account in kinds]


async def _kinds(app: App[LeadRepos], until: datetime) -> Kinds:
    kinds: Kinds = defaultdict(set)
    due = sorted(await app.repos.due_leads.accounts(until), key=_first_due)
    for one in due:
        if account := object_id(one["account_id"]):
            kinds[account].add(ACTING[one["lane"]] if one["lane"] else ENTER)
    if any(one["account_id"] is None for one in due):
        await app.repos.due_leads.set_aside(await app.repos.due_leads.misplaced(until, MAX_SET_ASIDE))
    await _add_signals(app, kinds)
    return kinds


async def _add_signals(app: App[LeadRepos], kinds: Kinds) -> None:
    """Add the accounts with replies or done tasks of which no run has taken notice."""
    responses, tasks = app.repos.lead_responses, app.repos.lead_tasks
    replied, done = await asyncio.gather(responses.waiting_accounts(), tasks.waiting_accounts())
    for account in _ids([*replied, *done]):
        kinds[account].add(INTERNAL)
    if None in replied:
        await responses.pass_over_strange(app.clock.now())
    if None in done:
        await tasks.pass_over_strange(app.clock.now())


def _units(kinds: Kinds) -> list[Unit]:
    return [
        Unit(str(account), str(account), tuple((kind, account) for kind in some)) for account, some in kinds.items()
    ]


def _first_due(one: Mapping[str, Any]) -> float:
    first = one.get("first")
    return first.timestamp() if isinstance(first, datetime) else 0.0


async def _exits(app: App[LeadRepos]) -> list[Unit]:
    return [Unit(EXITS_ID, "", ((EXITS, EXITS_ID),))] if await app.repos.lead_exits.anything_new() else []


def _ids(accounts: Sequence[Any]) -> list[ObjectId]:
    return [id for one in accounts if (id := object_id(one))]


async def outcomes(app: App[LeadRepos], ids: Sequence[str]) -> dict[str, str]:
    """{id: succeeded|failed|busy}: an entry has succeeded when none of its actions is due now."""
    now = app.clock.now()
    found = await app.repos.lead_stages.states_of([ObjectId(id) for id in ids if ObjectId.is_valid(id)])
    states = {str(one["_id"]): _outcome(one, now) for one in found}
    return {id: states.get(id, "succeeded") for id in ids}


def _outcome(entry: Mapping[str, Any], now: datetime) -> str:
    if entry["status"] == "failed":
        return "failed"
    due = entry.get("perform_at")
    is_due = entry["status"] == "active" and isinstance(due, datetime) and due <= now
    return "busy" if entry["status"] == "entering" or is_due else "succeeded"
