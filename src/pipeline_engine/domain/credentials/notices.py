"""Notifications for a credential that only a person can renew: to its user and to each admin of the account, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.integration_credentials import CredentialNotices

NAMES = {"google": "Google", "gmail": "Gmail", "microsoft": "Microsoft", "outlook": "Outlook"}
MAX_NAME_CHARS = 60


async def open_notices(app: App, document: Document) -> None:
    """Notify the people who can connect the integration again. A repeat for the same failure notifies no one again."""
    account_id = object_id(document.get("account_id"))
    if account_id is not None:
        admins = await app.shared.users.admins(account_id)
        users = {str(user): user for user in (document.get("user_id"), *admins) if user}
        now = app.clock.now()
        await app.shared.credential_notices.open([_notice(document, user, now) for user in users.values()])
    await app.shared.integration_credentials.set_noted(document, True)


async def close_notices(app: App, document: Document) -> None:
    """Close what is open about a credential that works again."""
    if account_id := object_id(document.get("account_id")):
        await app.shared.credential_notices.close(account_id, document["_id"])
    await app.shared.integration_credentials.set_noted(document, False)


def _notice(document: Mapping[str, Any], user: Any, now: Any) -> Document:
    reauth = document.get("reauth") or {}
    name = _name(document.get("provider"))
    reason = f" ({reauth['reason']})" if reauth.get("reason") else ""
    return {
        "_id": derived_id(CredentialNotices.KIND, document["_id"], user, reauth.get("count", 0)),
        "account_id": object_id(document["account_id"]),
        "user_id": user,
        "kind": CredentialNotices.KIND,
        "title": f"Connect {name} again",
        "body": f"{name} no longer accepts the connection{reason}. What depends on it rests until it is connected "
        "again in the settings of integrations.",
        "credential_id": document["_id"],
        "status": "open",
        "createdAt": now,
        "updatedAt": now,
    }


def _name(provider: object) -> str:
    text = str(provider or "the integration")[:MAX_NAME_CHARS]
    return NAMES.get(text, text)
