"""Switches an endpoint off and notifies the account's administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.too_large import TooLarge
from pipeline_engine.repos.webhook_repos import WebhookRepos

MAX_REASON_CHARS = 500

log = logs.get(__name__)


async def disable(
    app: App[WebhookRepos], account_id: ObjectId, webhook: Mapping[str, Any], reason: str, since: object
) -> None:
    """Disable the endpoint and keep what is pending for it. Each administrator gets one notice per `since`.

    The notices come first: after a crash in between, the next failure disables the endpoint and adds no second one.
    """
    reason = logs.clean(reason)[:MAX_REASON_CHARS]
    admins = await app.repos.webhook_records.admins(account_id)
    notices = [_notice(app, account_id, webhook, admin, reason, since) for admin in admins]
    await app.repos.webhook_notices.insert(notices)
    try:
        is_disabled = await app.repos.webhooks.disable(webhook, reason)
    except TooLarge as error:
        await app.repos.webhooks.set_aside(webhook["_id"], f"cannot be disabled: {error}, after: {reason}")
        return
    if is_disabled:
        await app.repos.webhook_deliveries.hold(account_id, webhook["_id"])
        log.warning("webhook.disabled", webhook_id=str(webhook["_id"]), account_id=str(account_id), reason=reason)


def _notice(
    app: App[WebhookRepos],
    account_id: ObjectId,
    webhook: Mapping[str, Any],
    admin: ObjectId,
    reason: str,
    since: object,
) -> Document:
    now = app.clock.now()
    return {
        "_id": derived_id("webhook disabled", webhook["_id"], admin, since),
        "account_id": account_id,
        "user_id": admin,
        "kind": "webhook_disabled",
        "title": "A webhook was disabled",
        "body": f"Webhook {webhook['_id']} gets no more events: {reason}. Mend the endpoint, then enable it again.",
        "webhook_id": webhook["_id"],
        "status": "open",
        "createdAt": now,
        "updatedAt": now,
    }
