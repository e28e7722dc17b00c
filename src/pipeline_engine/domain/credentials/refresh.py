"""Refreshes a credential: one at a time over all daemons, and only when it is still due then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.credentials.notices import close_notices, open_notices
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.providers.credentials import UNREADABLE
from pipeline_engine.providers.oauth import TOKEN_URLS, RefreshGrant, Tokens
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.integration_credentials import INTEGRATION_CREDENTIALS, REAUTH_REQUIRED, UNUSED_FOR

USE_MARGIN = timedelta(minutes=1)
"""A token that expires within this time is refreshed before it is used."""
WAIT_SECONDS = 60.0
"""The longest wait for a refresh by another run: longer than its calls take, and than a lease that it leaves."""
LOOK_SECONDS = 0.1
RETRY_AFTER = timedelta(seconds=20)
UNREADABLE_REST = timedelta(hours=20)
"""So long the daily job leaves out a credential that no key opens."""
MISSING = "missing_credential"

IsDue = Callable[[Document], bool]

log = logs.get(__name__)


async def fresh_token(app: App, account_id: ObjectId, id: Any, rejected: str = "") -> str:
    """An access token that is valid for another minute, and is not the one that the service has `rejected`.

    Raises: Permanent REAUTH_REQUIRED when only a person can renew the grant, MISSING, UNREADABLE; Transient and
    RateLimited when a refresh may succeed later.
    """
    credentials = app.integrations.credentials

    def is_due(document: Document) -> bool:
        expires_at = usable_date(document.get("expires_at"))
        token = credentials.open(document.get("access_token"), document["_id"])
        return not token or token == rejected or expires_at is None or expires_at <= app.clock.now() + USE_MARGIN

    document = await refresh_if(app, account_id, id, is_due)
    return credentials.open(document.get("access_token"), document["_id"])


def is_due(document: Mapping[str, Any], now: datetime, within: timedelta) -> bool:
    """Whether the daily job refreshes the credential: it expires within this time, or at an unknown time, and was not
    refreshed for a day. Pure; `IntegrationCredentials.find_due` asks the same of MongoDB."""
    expires_at, refreshed_at = usable_date(document.get("expires_at")), usable_date(document.get("refreshed_at"))
    is_soon = expires_at is None or expires_at <= now + within
    return is_soon and (refreshed_at is None or refreshed_at <= now - UNUSED_FOR)


async def refresh_if(app: App, account_id: ObjectId, id: Any, is_due: IsDue) -> Document:
    """The credential, refreshed if it is due. While another run refreshes it, this waits for what comes of that.

    Raises: as `fresh_token`.
    """
    repo, deadline = app.shared.integration_credentials, monotonic() + WAIT_SECONDS
    while True:
        document = await repo.of_account(account_id, id)
        if document is None:
            raise Permanent("the account has no such credential", MISSING)
        if not is_due(await _usable(app, document)):
            return document
        if held := await repo.claim(document["_id"]):
            with app.heartbeat.holding(INTEGRATION_CREDENTIALS, held["_id"]):
                return await _refresh_held(app, held, is_due)
        if monotonic() > deadline:
            raise Transient("another run has been refreshing the credential for too long")
        await asyncio.sleep(LOOK_SECONDS)


async def _usable(app: App, document: Document) -> Document:
    """The credential, after a notification was closed that a person has followed. Raises: Permanent REAUTH_REQUIRED."""
    if document.get("status") == REAUTH_REQUIRED:
        raise Permanent("the integration must be connected again", REAUTH_REQUIRED)
    if (document.get("reauth") or {}).get("noted"):
        await close_notices(app, document)
    return document


async def _refresh_held(app: App, held: Document, is_due: IsDue) -> Document:
    """As `refresh_if`, for a credential that this run holds; it is released in any case."""
    repo = app.shared.integration_credentials
    try:
        if is_due(await _usable(app, held)):
            return await _renew(app, held, is_due)
    except (Transient, RateLimited) as error:
        after = timedelta(seconds=error.retry_after) if isinstance(error, RateLimited) else RETRY_AFTER
        await repo.fail(held, full(error), after)
        raise
    except Permanent as error:
        await (repo.fail(held, full(error), UNREADABLE_REST) if error.code == UNREADABLE else repo.release(held))
        raise
    except BaseException:
        await repo.release(held)
        raise
    await repo.release(held)
    return held


async def _renew(app: App, held: Document, is_due: IsDue, is_second: bool = False) -> Document:
    if not app.heartbeat.trusted:
        raise Transient("MongoDB has not renewed the lease in time")
    try:
        tokens = await app.integrations.oauth.refresh(grant_of(app, held))
    except Permanent as refusal:
        if refusal.code == UNREADABLE:
            raise
        return await _after_refusal(app, held, refusal, is_due, is_second)
    repo = app.shared.integration_credentials
    stored = await repo.renew(held, _stored(app, held, tokens))
    log.info("oauth.refreshed", id=str(held["_id"]), account_id=str(held.get("account_id")), kept=stored is not None)
    return stored or await _changed_meanwhile(app, held)


async def _after_refusal(app: App, held: Document, refusal: Permanent, is_due: IsDue, is_second: bool) -> Document:
    """Read the credential again before the grant is given up: the CRM may have stored another one meanwhile."""
    now = await app.shared.integration_credentials.get(held["_id"])
    if now is None:
        raise Permanent("the account has no such credential", MISSING)
    is_other = any(now.get(name) != held.get(name) for name in ("version", "refresh_token"))
    if is_other and now["token"] == held["token"] and not is_second:
        return await _renew(app, now, is_due, True) if is_due(now) else now
    return await _give_up(app, held, refusal)


async def _give_up(app: App, held: Document, refusal: Permanent) -> Document:
    dead = await app.shared.integration_credentials.require_reauth(held, full(refusal))
    if dead is None:
        return await _changed_meanwhile(app, held)
    ids = {"id": str(held["_id"]), "account_id": str(held.get("account_id"))}
    log.warning("oauth.reauth_required", **ids, code=refusal.code, reason=full(refusal))
    await open_notices(app, dead)
    raise Permanent(f"the integration must be connected again: {refusal}", REAUTH_REQUIRED)


async def _changed_meanwhile(app: App, held: Document) -> Document:
    """The credential as the CRM, or another run, has stored it since. Raises: Transient when it is of no use yet."""
    repo = app.shared.integration_credentials
    found = await repo.get(held["_id"])
    if found and found.get("token") == held["token"]:
        await repo.release(held)
    if found is None or not found.get("access_token") or found.get("status") == REAUTH_REQUIRED:
        raise Transient("the credential was changed during its refresh")
    return found


def grant_of(app: App, document: Document) -> RefreshGrant:
    """What a refresh of the credential needs.

    Raises: Permanent `no_refresh_token` where there is none, `url` without a token endpoint, UNREADABLE.
    """
    secrets = app.integrations.credentials
    refresh_token = secrets.open(document.get("refresh_token"), document["_id"])
    if not refresh_token:
        raise Permanent("the credential holds no refresh token", "no_refresh_token")
    url = document.get("token_url") or TOKEN_URLS.get(str(document.get("provider")), "")
    client_secret = secrets.open(document.get("client_secret"), document["_id"])
    return RefreshGrant(str(url), str(document.get("client_id") or ""), client_secret, refresh_token)


def _stored(app: App, document: Document, tokens: Tokens) -> dict[str, Any]:
    """The fields to store after a refresh; with keys, every secret of the document is encrypted then."""
    secrets, id = app.integrations.credentials, document["_id"]
    plain = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    if client_secret := secrets.open(document.get("client_secret"), id):
        plain["client_secret"] = client_secret
    sealed = {name: secrets.seal(value, id) for name, value in plain.items()}
    by = {"sealed_by": secrets.key_id} if secrets.has_keys else {}
    return {**sealed, **by, "expires_at": app.clock.now() + tokens.lifetime, "status": "ok"}
