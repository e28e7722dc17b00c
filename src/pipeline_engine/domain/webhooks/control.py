"""What an operator does with an endpoint: test it, enable it, give it a new secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import POST, wake
from pipeline_engine.domain.webhooks.delivery_batch import post
from pipeline_engine.domain.webhooks.endpoint import read_subscription, signing_keys
from pipeline_engine.domain.webhooks.signature import new_secret
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.providers.webhooks import Reply
from pipeline_engine.repos.webhook_deliveries import NewDelivery
from pipeline_engine.repos.webhook_repos import WebhookRepos

ROTATION = timedelta(hours=24)
"""For so long the secret before signs as well."""
TEST_TYPE = "webhook.test"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class NewSecret:
    """The secret that an endpoint has now, and until when the one before signs as well."""

    secret: str
    previous_until: datetime


async def look_up(app: App[WebhookRepos], webhook_id: ObjectId) -> Document:
    """The endpoint. Raises: Permanent `not_found`, also when it names no account."""
    webhook = await app.repos.webhooks.get(webhook_id)
    if webhook is None or object_id(webhook.get("account_id")) is None:
        raise Permanent(f"there is no webhook {webhook_id}", "not_found")
    return webhook


async def test(app: App[WebhookRepos], webhook_id: ObjectId) -> Reply:
    """Post an event `webhook.test` to the endpoint now, also to a disabled one, and store the delivery.

    It is attempted once, and neither improves the endpoint's health nor makes it worse. Raises: as `look_up`.
    """
    webhook, now = await look_up(app, webhook_id), app.clock.now()
    account_id = ObjectId(str(webhook["account_id"]))
    event = {"occurred_at": now, "data": {"webhook_id": webhook_id, "message": "This is a test."}}
    new = NewDelivery(account_id, webhook_id, f"test:{ObjectId()}", TEST_TYPE, event)
    reply = await post(app, webhook, new.document(now, 1.0), event, now)
    attempt = {"at": now, "status": reply.status, "ms": reply.ms, "error": reply.error}
    await app.repos.webhook_deliveries.record(new, attempt, "failed" if reply.error else "delivered")
    return reply


async def enable(app: App[WebhookRepos], webhook_id: ObjectId) -> None:
    """Switch the endpoint on with a clean record; what is pending for it is due now.

    Raises: as `look_up`; as `read_subscription`, or Permanent `secret`, when it would be disabled or fail at once.
    """
    webhook = await look_up(app, webhook_id)
    read_subscription(webhook)
    signing_keys(webhook, app.clock.now())
    await app.repos.webhooks.enable(webhook)
    await wake(app, POST, webhook_id)


async def rotate(app: App[WebhookRepos], webhook_id: ObjectId) -> NewSecret:
    """Give the endpoint a new secret. Both sign for 24 hours, so that the receiver can change over in its own time.

    Raises: as `look_up`; Permanent `changed` when another process changed the secret meanwhile.
    """
    webhook = await look_up(app, webhook_id)
    made = NewSecret(new_secret(), app.clock.now() + ROTATION)
    if not await app.repos.webhooks.rotate(webhook, made.secret, made.previous_until):
        raise Permanent(f"the secret of webhook {webhook_id} was changed meanwhile", "changed")
    return made
