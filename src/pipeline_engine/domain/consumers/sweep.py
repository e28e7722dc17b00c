"""Finds accounts with due events: one indexed question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import CONSUME
from pipeline_engine.domain.events.units import account_units, event_units
from pipeline_engine.domain.unit import Unit
from pipeline_engine.ids import object_id
from pipeline_engine.repos.consumer_repos import ConsumerRepos

MAX_ACCOUNTS = 1000
MAX_COUNTED = 100_000
MAX_SET_ASIDE = 200
OUTCOMES = {"done": "succeeded", "dead": "failed", "new": "busy"}


async def find(app: App[ConsumerRepos]) -> list[Unit]:
    """Accounts with due events; not those that are not active, which may be very many. Events that name no account are
    set aside."""
    found = await app.repos.crm_events.due_accounts()
    if any(object_id(one) is None for one in found):
        await app.repos.crm_events.set_strange_accounts_aside(MAX_SET_ASIDE)
    units = account_units(CONSUME, found)
    inactive = await app.shared.accounts.inactive([unit.id for unit in units])
    return [unit for unit in units if unit.id not in inactive][:MAX_ACCOUNTS]


async def find_due_now(app: App[ConsumerRepos]) -> list[Unit]:
    """Due events, which is what `run-once` counts."""
    return event_units(await find(app), await app.repos.crm_events.find_due(MAX_COUNTED))


async def outcomes(app: App[ConsumerRepos], ids: Sequence[str]) -> Mapping[str, str]:
    """{event id: succeeded|failed|busy}; an event that has an attempt left is busy."""
    states = await app.repos.crm_events.states(ids)
    return {id: OUTCOMES.get(str(states[id].get("status")), "busy") if id in states else "succeeded" for id in ids}
