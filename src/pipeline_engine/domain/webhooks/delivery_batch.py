"""Attempts some due deliveries of one endpoint, two at a time, for as long as the endpoint accepts them."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.webhooks.endpoint import signing_keys
from pipeline_engine.domain.webhooks.health import GONE, Health
from pipeline_engine.domain.webhooks.payload import body_of
from pipeline_engine.domain.webhooks.retries import next_attempt
from pipeline_engine.domain.webhooks.signature import signed
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.webhooks import Reply
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.webhook_deliveries import DeliveryEnd
from pipeline_engine.repos.webhook_repos import WebhookRepos

AT_ONCE = 2
"""Requests to one endpoint at a time."""
BATCH_SECONDS = 15.0
"""After this time no further attempt of the batch begins."""
STORE_SECONDS = 0.2
"""Results wait so long for others, to be stored together. After a crash meanwhile they are posted a second time."""
NO_EVENT = "the event no longer exists"

log = logs.get(__name__)


@dataclass
class DeliveryBatch:
    """One batch of a run that holds the endpoint; `health` follows the replies."""

    app: App[WebhookRepos]
    account_id: ObjectId
    webhook: Mapping[str, Any]
    health: Health
    disabling: str | None = None
    """Why the endpoint is to be disabled, if it is."""
    _has_failed: bool = False
    _ends: list[DeliveryEnd] = field(default_factory=list)
    _stored: float = field(default_factory=monotonic)

    async def attempt(self, ids: Sequence[Any]) -> None:
        """Attempt the deliveries, each at most once. Those for which no attempt was begun are due as before."""
        begun = deque(await self.app.repos.webhook_deliveries.begin(self.account_id, self.webhook["_id"], ids))
        events = await self._events(begun)
        until, running = monotonic() + BATCH_SECONDS, set[asyncio.Task[None]]()
        try:
            while (begun and self._goes_on(until)) or running:
                while begun and len(running) < AT_ONCE and self._goes_on(until):
                    delivery = begun.popleft()
                    event = events.get(str(delivery.get("event_id")), delivery.get("payload"))
                    running.add(asyncio.create_task(self._deliver(delivery, event)))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if monotonic() - self._stored > STORE_SECONDS:
                    await self._store()
        finally:
            for task in running:
                task.cancel()
        self._ends += [_untried(delivery) for delivery in begun]
        await self._store()

    def _goes_on(self, until: float) -> bool:
        """Whether another attempt may begin: not after one has failed, and not when the lease may have run out."""
        app = self.app
        return not self._has_failed and monotonic() < until and app.heartbeat.trusted and not app.stopping.is_set()

    async def _events(self, deliveries: Sequence[Document]) -> dict[str, Document]:
        ids = [str(one.get("event_id")) for one in deliveries if "payload" not in one]
        return await self.app.repos.webhook_records.events(self.account_id, ids) if ids else {}

    async def _store(self) -> None:
        ends, self._ends = self._ends, []
        self._stored = monotonic()
        await self.app.repos.webhook_deliveries.end(ends)

    async def _deliver(self, delivery: Document, event: Document | None) -> None:
        began = self.app.clock.now()
        reply = await post(self.app, self.webhook, delivery, event, began)
        now = self.app.clock.now()
        if reply.error != NO_EVENT:  # that is no fault of the endpoint
            self.health = self.health.after(reply, now)
            self.disabling = self.disabling or self.health.disabling(reply, now)
        self._ends.append(_ended(delivery, reply, began, now))
        if reply.error:
            self._has_failed = True
            ids = {"webhook_id": str(self.webhook["_id"]), "delivery_id": str(delivery["_id"])}
            attempt = len(delivery["attempts"])
            log.info("webhook.attempt_failed", **ids, attempt=attempt, status=reply.status, error=reply.error)


async def post(
    app: App[WebhookRepos],
    webhook: Mapping[str, Any],
    delivery: Mapping[str, Any],
    event: Document | None,
    now: datetime,
) -> Reply:
    """Sign the event and post it once."""
    if not isinstance(event, Mapping) or delivery.get("event_id") is None:
        return Reply(None, 0, NO_EVENT)
    try:
        keys = signing_keys(webhook, now)
    except Permanent as error:
        return Reply(None, 0, str(error))
    about = {name: delivery.get(name) for name in ("type", "account_id", "createdAt")}
    public_url = None if "payload" in delivery else app.settings.public_url  # a payload can be read nowhere else
    body = body_of({**about, **event, "_id": delivery["event_id"]}, public_url)
    headers = signed(keys, f"msg_{delivery['_id']}", int(now.timestamp()), body)
    return await app.senders.webhooks.post(webhook.get("url"), headers, body)


def _ended(delivery: Document, reply: Reply, began: datetime, now: datetime) -> DeliveryEnd:
    result = {"at": began, "status": reply.status, "ms": reply.ms, "error": reply.error}
    attempts = [*delivery["attempts"][:-1], result]
    if reply.error is None:
        return DeliveryEnd(delivery, "delivered", attempts, None)
    is_hopeless = reply.status == GONE or reply.error == NO_EVENT
    chance = random.random()  # noqa: S311 - no secret
    again = None if is_hopeless else next_attempt(len(attempts), now, reply.retry_after, chance)
    return DeliveryEnd(delivery, "pending" if again else "failed", attempts, again)


def _untried(delivery: Document) -> DeliveryEnd:
    """As the delivery was before the batch counted an attempt; it is due."""
    attempts = delivery["attempts"][:-1]
    began = usable_date(delivery["attempts"][-1].get("at"))
    return DeliveryEnd(delivery, "pending", attempts, began)
