"""Makes a delivery of every consumed event for every endpoint of the account that wants it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import POST, wake
from pipeline_engine.domain.events.onward import take_onward
from pipeline_engine.domain.webhooks.disable import disable
from pipeline_engine.domain.webhooks.endpoint import Subscription, read_subscription
from pipeline_engine.domain.webhooks.wanted import Wanted, wanted
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.crm_events import restricted_to
from pipeline_engine.repos.webhook_deliveries import NewDelivery
from pipeline_engine.repos.webhook_repos import WebhookRepos

NAME = "webhooks"
"""Under it consumed events wait here (`onward`)."""
MAX_EVENTS = 200
SLICE_SECONDS = 2.0


async def run_fan_out(app: App[WebhookRepos], _cache: object, account_id: ObjectId) -> Outcome | None:
    """Take the account's events in their order; those of an account that is not active wait. An event is taken when its
    deliveries are stored; a repeat stores them under the same ids."""
    if not await app.shared.references.account_is_active(account_id):
        return None
    until, taken = monotonic() + SLICE_SECONDS, set[str]()
    subscriptions = await _subscriptions(app, account_id)
    while events := await app.shared.crm_events.read_onward(account_id, NAME, MAX_EVENTS):
        if taken.issuperset(ids := [repr(event["_id"]) for event in events]):
            return None  # what cannot be taken must not be taken for ever
        await take_onward(app, account_id, NAME, events, partial(_deliver, app, account_id, subscriptions))
        taken.update(ids)
        if monotonic() > until or app.stopping.is_set():
            return Snooze()
    return None


async def _subscriptions(app: App[WebhookRepos], account_id: ObjectId) -> list[Subscription]:
    """What the account's active endpoints want. One that cannot be read is disabled."""
    found = []
    for webhook in await app.repos.webhooks.active_of(account_id):
        try:
            if not POST.can_name(webhook["_id"]):
                raise Permanent("its _id is no ObjectId", "id")
            found.append(read_subscription(webhook))
        except Permanent as error:
            await disable(app, account_id, webhook, str(error), error)
    return found


async def _deliver(
    app: App[WebhookRepos], account_id: ObjectId, subscriptions: Sequence[Subscription], events: Sequence[Document]
) -> None:
    pairs = await wanted(app, account_id, events, subscriptions)
    deliveries = app.repos.webhook_deliveries
    await deliveries.add([_new(account_id, one) for one in pairs if not _is_replay(one)])
    await deliveries.repeat([_new(account_id, one) for one in pairs if _is_replay(one)])
    if not app.queue.keys.ttl:  # `run-once` finds the deliveries by its sweep, and so counts them
        for id in {one.webhook["_id"] for _, one in pairs}:
            await wake(app, POST, id)


def _is_replay(pair: Wanted) -> bool:
    return restricted_to(pair[0], NAME) is not None


def _new(account_id: ObjectId, pair: Wanted) -> NewDelivery:
    event, subscription = pair
    return NewDelivery(account_id, subscription.webhook["_id"], str(event["_id"]), str(event.get("type")))
