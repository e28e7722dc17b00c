"""The job of one endpoint: delivers what is due, within its rate, until nothing is or its slice is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.claimed import Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.events.jobs import POST, wake_at
from pipeline_engine.domain.named import named
from pipeline_engine.domain.webhooks.delivery_batch import DeliveryBatch
from pipeline_engine.domain.webhooks.disable import disable
from pipeline_engine.domain.webhooks.endpoint import is_active, rate_of
from pipeline_engine.domain.webhooks.health import FREE_FAILURES, Health
from pipeline_engine.domain.webhooks.retries import batch_of, why_given_up
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import Dead, Outcome, Snooze
from pipeline_engine.repos.webhook_deliveries import WEBHOOK_DELIVERIES
from pipeline_engine.repos.webhook_repos import WebhookRepos
from pipeline_engine.repos.webhooks import Webhooks

SLICE_SECONDS = 5.0
MAX_BATCH = 20
FIRST_RETRY_SECONDS = 6.0
"""`run-once` waits so long for what is due next: for a first retry."""

WebhookClaim = Claim[Webhooks]
log = logs.get(__name__)


async def run_post(app: App[WebhookRepos], places: AccountPlaces, webhook_id: ObjectId) -> Outcome | None:
    """Deliver what is due to the endpoint. `places` counts the running jobs of each account in this process."""
    webhook = await app.repos.webhooks.get(webhook_id)
    account_id = object_id((webhook or {}).get("account_id"))
    if webhook is None or account_id is None:
        await app.repos.webhook_deliveries.fail_pending(webhook_id)
        return None
    if wait := places.wait(account_id):
        return Snooze(wait)
    with places.taken(account_id):
        if await app.shared.references.account_is_active(account_id):
            return await _run(app, account_id, webhook_id)
    return None


async def _run(app: App[WebhookRepos], account_id: ObjectId, webhook_id: ObjectId) -> Outcome | None:
    """Claim the endpoint and deliver to it. When another run holds it, nothing is done: that run looks after its end
    whether anything became due meanwhile."""
    run = ClaimedRun("webhook", partial(_deliver, app, account_id), _give_up, attempts=None)
    return await run_claimed(app, app.repos.webhooks, webhook_id, run, WebhookClaim)


async def _give_up(claim: WebhookClaim, failure: RunFailure) -> Outcome:
    await claim.release()
    return Dead(failure.message)


async def _deliver(app: App[WebhookRepos], account_id: ObjectId, claim: WebhookClaim) -> Outcome | None:
    until, wait, is_limited = monotonic() + SLICE_SECONDS, None, False
    await app.repos.webhook_deliveries.fail_foreign(account_id, claim.document["_id"])
    if claim.repo.crashes_of(claim.document):
        await app.repos.webhook_deliveries.let_cut_go(account_id, claim.document["_id"])
    await _keep_to_switch(app, account_id, claim)
    while is_active(claim.document) and monotonic() < until and not app.stopping.is_set():
        health = Health.of(claim.document)
        if health.rests(app.clock.now()):
            wait = health.rest_until
            break
        ids = await _next_batch(app, account_id, claim.document["_id"], _batch_size(health))
        granted, wait = await _within_rate(app, account_id, claim, len(ids))
        if not granted:
            is_limited = wait is not None
            break
        await _attempt(app, account_id, claim, health, ids[:granted])
    await claim.release()
    if not is_active(claim.document) or (is_limited and app.queue.keys.ttl):  # `run-once` waits for no limit
        return None
    return await _until_next(app, account_id, claim, wait)


def _batch_size(health: Health) -> int:
    """How many deliveries to take: a failing endpoint is asked with one or two whether it works again."""
    if health.failures == 0:
        return MAX_BATCH
    return 2 if health.failures < FREE_FAILURES else 1


async def _next_batch(app: App[WebhookRepos], account_id: ObjectId, webhook_id: Any, limit: int) -> list[Any]:
    """The ids of deliveries to attempt now; those that are due but have no attempt left are ended."""
    found = await app.repos.webhook_deliveries.find_due(account_id, webhook_id, limit)
    due = await named(app, WEBHOOK_DELIVERIES.name, found)
    reasons = {one["_id"]: reason for one in due if (reason := why_given_up(one))}
    for id, reason in reasons.items():
        await app.repos.webhook_deliveries.give_up(account_id, id, reason)
        log.error("webhook.delivery_given_up", webhook_id=str(webhook_id), delivery_id=str(id), reason=reason)
    return batch_of([one for one in due if one["_id"] not in reasons])


async def _keep_to_switch(app: App[WebhookRepos], account_id: ObjectId, claim: WebhookClaim) -> None:
    """Hold what is pending for a disabled endpoint. Once it was enabled again, make that due, and forget the failures
    before: they would disable it at the next one."""
    id, holds = claim.document["_id"], claim.document.get("holds") is True
    if not is_active(claim.document):
        await claim.change(holds=True)
        await app.repos.webhook_deliveries.hold(account_id, id)
    elif holds:
        await app.repos.webhook_deliveries.let_go(account_id, id)
        claim.keep(await claim.repo.begin_anew(claim.document))


async def _within_rate(
    app: App[WebhookRepos], account_id: ObjectId, claim: WebhookClaim, wanted: int
) -> tuple[int, datetime | None]:
    """How many attempts may be made now and, if that is none, when to ask again. An endpoint whose rate cannot be read
    is disabled."""
    try:
        rate = rate_of(claim.document) if wanted else None
    except Permanent as error:
        await _disable(app, account_id, claim, str(error), error)
        return 0, None
    if rate is None:
        return wanted, None
    grant = await app.rate_limiter.acquire(str(account_id), f"webhook:{claim.document['_id']}", rate, min(wanted, rate))
    is_enough = grant.units == wanted
    return grant.units, None if is_enough else app.clock.now() + timedelta(seconds=grant.after)


async def _attempt(
    app: App[WebhookRepos], account_id: ObjectId, claim: WebhookClaim, health: Health, ids: list[Any]
) -> None:
    batch = DeliveryBatch(app, account_id, claim.document, health)
    await batch.attempt(ids)
    if batch.health != health:
        after = batch.health
        await claim.change(failures=after.failures, failing_since=after.failing_since, rest_until=after.rest_until)
    if batch.disabling:
        await _disable(app, account_id, claim, batch.disabling, claim.document.get("failing_since"))


async def _disable(
    app: App[WebhookRepos], account_id: ObjectId, claim: WebhookClaim, reason: str, since: object
) -> None:
    await disable(app, account_id, claim.document, reason, since)
    await claim.change()  # reads the switch


async def _until_next(
    app: App[WebhookRepos], account_id: ObjectId, claim: WebhookClaim, wait: datetime | None
) -> Outcome | None:
    """Have the lane look again when the next delivery is due and may be attempted, if that is soon."""
    now = app.clock.now()
    due = await app.repos.webhook_deliveries.next_due_at(account_id, claim.document["_id"])
    if due is None:
        return None
    moment = max(due, wait or due)
    if moment <= now:
        return Snooze()
    most = FIRST_RETRY_SECONDS if app.queue.keys.ttl else app.settings.webhooks_sweep_seconds
    if moment <= now + timedelta(seconds=most):
        await wake_at(app, POST, claim.document["_id"], moment)
    return None
