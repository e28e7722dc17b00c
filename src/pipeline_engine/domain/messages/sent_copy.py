"""Keeps a copy of a mail that went out in the folder where the mailbox's owner looks for sent mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.messages.open_mailbox import open_mailbox

KEEPS_ITSELF = frozenset({"gmail", "outlook"})
"""Providers whose own mail servers keep a copy of what is sent through them."""


async def keep_copy(app: App, mailbox: Mapping[str, Any], message_id: str, raw: bytes) -> bool:
    """Put the mail into the mailbox's folder for sent mail, unless one of this Message-ID is there.

    Returns False when nothing was put there: the provider keeps a copy itself, the mailbox has no such folder, or the
    copy is there. Raises: as `open_mailbox`. A repeat after a crash makes no second copy.
    """
    if str(mailbox.get("provider")) in KEEPS_ITSELF:
        return False
    async with open_mailbox(app, mailbox) as opened:
        sent = [one for one in await opened.folders() if one.is_sent and one.can_be_opened]
        if not sent:
            return False
        folder = min(sent, key=lambda one: ("sent" not in one.flags, one.name)).name
        await opened.open(folder)
        if await opened.holds(message_id):
            return False
        await opened.append(folder, raw)
        return True
