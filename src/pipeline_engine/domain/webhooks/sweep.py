"""Finds accounts whose consumed events wait to be taken, and endpoints with due deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import FAN_OUT, POST
from pipeline_engine.domain.unit import Unit, fair
from pipeline_engine.domain.webhooks.fan_out import NAME
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.webhook_repos import WebhookRepos

MAX_FOUND = 1000
MAX_COUNTED = 100_000
MAX_SET_ASIDE = 200
WORDS = {"delivered": "succeeded", "failed": "failed", "pending": "busy"}


async def find(app: App[WebhookRepos]) -> list[Unit]:
    """Accounts with events to take, endpoints of which a delivery is due before the next sweep, and those that were
    enabled again."""
    until = app.clock.now() + timedelta(seconds=app.settings.webhooks_sweep_seconds)
    found = [*await app.repos.webhooks.enabled_again(), *await _endpoints(app, until)]
    units = {repr(one["_id"]): Unit.of(POST, one["_id"], one.get("account_id")) for one in found}
    return [*await _accounts(app), *fair(units.values(), MAX_FOUND)]


async def _endpoints(app: App[WebhookRepos], until: datetime) -> list[Document]:
    """Those with deliveries due by then. Deliveries that can name none are set aside."""
    due = await app.repos.webhook_deliveries.due_endpoints(until)
    if any(one["_id"] is None for one in due):
        await app.repos.webhook_deliveries.set_nameless_aside(MAX_SET_ASIDE)
    return [one for one in due if one["_id"] is not None]


async def find_abandoned(app: App[WebhookRepos]) -> list[Unit]:
    """Endpoints whose holder has died."""
    return [Unit.of(POST, one["_id"], one.get("account_id")) for one in await app.repos.webhooks.abandoned()]


async def find_due_now(app: App[WebhookRepos]) -> list[Unit]:
    """Deliveries that are due, which is what `run-once` counts; the first of each endpoint brings its job. Besides,
    accounts with events to take, and endpoints that were enabled again."""
    enabled = await app.repos.webhooks.enabled_again()
    units = [*await _accounts(app), *(Unit.of(POST, one["_id"], one.get("account_id")) for one in enabled)]
    seen = set[str]()
    for one in await app.repos.webhook_deliveries.find_all_due(MAX_COUNTED):
        endpoint = one.get("webhook_id")
        jobs = () if repr(endpoint) in seen else ((POST, endpoint),)
        seen.add(repr(endpoint))
        units.append(Unit(str(one["_id"]), str(one.get("account_id")), jobs))
    return units


async def _accounts(app: App[WebhookRepos]) -> list[Unit]:
    """Accounts with events to take; not those that are not active, whose events wait."""
    accounts = _ids(await app.shared.crm_events.onward_accounts(NAME))
    inactive = await app.shared.accounts.inactive([str(id) for id in accounts])
    return [Unit(f"{FAN_OUT.name}:{id}", str(id), ((FAN_OUT, id),)) for id in accounts if str(id) not in inactive]


def _ids(accounts: Iterable[Any]) -> list[ObjectId]:
    return list(dict.fromkeys(id for one in accounts if (id := object_id(one))))


async def outcomes(app: App[WebhookRepos], ids: Sequence[str]) -> dict[str, str]:
    """{unit id: succeeded|failed|busy}; a delivery with an attempt left is busy."""
    states = await app.repos.webhook_deliveries.states([ObjectId(id) for id in ids if ObjectId.is_valid(id)])
    return {id: WORDS.get(states.get(id, ""), "succeeded") for id in ids}
