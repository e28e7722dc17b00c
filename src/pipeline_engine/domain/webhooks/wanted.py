"""The events that endpoints want, by type and filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.filters import FACTS, RECORDS, matches, records_read
from pipeline_engine.domain.webhooks.endpoint import Subscription
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.crm_events import restricted_to
from pipeline_engine.repos.webhook_repos import WebhookRepos

Event = Mapping[str, Any]
Wanted = tuple[Event, Subscription]


async def wanted(
    app: App[WebhookRepos], account_id: ObjectId, events: Sequence[Event], subscriptions: Sequence[Subscription]
) -> list[Wanted]:
    """Every event with every endpoint that wants it."""
    by_type = [(event, one) for event in events for one in subscriptions if _may_want(one, event)]
    records = await _records(app, account_id, by_type)
    return [(event, one) for event, one in by_type if matches(one.filter, _facts(event, records))]


def _may_want(subscription: Subscription, event: Event) -> bool:
    only = restricted_to(event, "webhooks")
    return only in (None, str(subscription.webhook["_id"])) and subscription.wants(str(event.get("type")))


def _facts(event: Event, records: Mapping[str, Mapping[str, Document]]) -> dict[str, Any]:
    facts = {name: event.get(name) for name in FACTS if name not in RECORDS}
    found = {kind: by_id.get(str(_reference(event, kind))) for kind, by_id in records.items()}
    return {**facts, "id": str(event["_id"]), **found}


async def _records(
    app: App[WebhookRepos], account_id: ObjectId, pairs: Iterable[Wanted]
) -> dict[str, dict[str, Document]]:
    """{kind: {id as text: record}}, of those that the filters read and the events name."""
    ids: dict[str, set[ObjectId]] = {}
    for event, subscription in pairs:
        for kind in records_read(subscription.filter):
            ids.setdefault(kind, set()).update(id for id in [_reference(event, kind)] if id)
    repo = app.repos.webhook_records
    return {kind: await repo.by_id(account_id, f"{kind}s", [*some, *map(str, some)]) for kind, some in ids.items()}


def _reference(event: Event, kind: str) -> ObjectId | None:
    data = event.get("data")
    fields = data if isinstance(data, Mapping) else {}
    return object_id(fields.get(f"{kind}_id")) or object_id(fields.get(f"{kind}Id"))
