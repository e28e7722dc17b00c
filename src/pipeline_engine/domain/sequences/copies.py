"""Copies of the mails that left through a mailbox, in its folder for sent mail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pipeline_engine import logs
from pipeline_engine.domain.messages.sent_copy import keep_copy
from pipeline_engine.domain.sequences.routes import Routes
from pipeline_engine.domain.sequences.work import Results, SendSlice, Sent, SequenceEntry
from pipeline_engine.errors import EngineError
from pipeline_engine.providers.email_message import Mail

COPY_TIMEOUT = 10.0
"""Seconds; the mails of the account's other mailboxes wait meanwhile."""

log = logs.get(__name__)


async def keep_copies(slice: SendSlice, routes: Routes, results: Results, mails: Mapping[Any, Mail]) -> None:
    """Put a copy of each mail that went out into its mailbox, unless it is there. A mailbox that takes none gets no
    further ones in this slice: the mail itself has gone out, and is a row of `email_messages`."""
    for entry, result in results:
        if isinstance(result, Sent) and result.mailbox not in (None, *routes.without_copies) and entry.id in mails:
            await _keep(slice, routes, entry, result.mailbox, mails[entry.id])


async def _keep(slice: SendSlice, routes: Routes, entry: SequenceEntry, id: Any, mail: Mail) -> None:
    mailbox = routes.known[id]
    try:
        mailer = await routes.mailer(mailbox)
        async with asyncio.timeout(COPY_TIMEOUT):
            await keep_copy(slice.app, mailbox, mailer.message_id(entry.key), mailer.written(mail, entry.key))
    except (EngineError, TimeoutError) as error:
        routes.without_copies.add(id)
        ids = {"account_id": str(slice.account_id), "email_account_id": str(id)}
        reason = error if isinstance(error, EngineError) else f"it takes more than {COPY_TIMEOUT:g} s"
        log.warning("mailbox.copy_failed", **ids, error=reason)
