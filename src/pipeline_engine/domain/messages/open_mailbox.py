"""Logs in to a tenant's mailbox, as its `email_accounts` document says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.credentials.refresh import fresh_token
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.providers.mailbox import Mailbox
from pipeline_engine.providers.mailbox_errors import LOGIN
from pipeline_engine.providers.mailbox_server import SETTINGS, MailboxLogin, read_server


@asynccontextmanager
async def open_mailbox(app: App, document: Mapping[str, Any]) -> AsyncIterator[Mailbox]:
    """The mailbox, logged in by its password or by an access token that is refreshed when it has to be.

    Raises: Permanent when its settings are wrong or the login is refused; Transient when it may work later.
    """
    server = read_server(document, app.integrations.mailboxes.allow_private)
    login = await _login(app, document)
    async with AsyncExitStack() as stack:
        try:
            mailbox = await stack.enter_async_context(app.integrations.mailboxes.open(server, login))
        except Permanent as refusal:
            if refusal.code != LOGIN or not login.token:
                raise
            # A token may be revoked before it expires; a new one then works.
            login = await _login(app, document, login.token)
            mailbox = await stack.enter_async_context(app.integrations.mailboxes.open(server, login))
        yield mailbox


async def _login(app: App, document: Mapping[str, Any], rejected: str = "") -> MailboxLogin:
    if credential := document.get("credential_id"):
        account_id = object_id(document.get("account_id"))
        if account_id is None:
            raise Permanent("the mailbox belongs to no account", SETTINGS)
        return MailboxLogin(token=await fresh_token(app, account_id, credential, rejected))
    password = app.integrations.credentials.open(document.get("password"), document["_id"])
    if not password:
        raise Permanent("the mailbox has neither a password nor a credential", SETTINGS)
    return MailboxLogin(password=password)
