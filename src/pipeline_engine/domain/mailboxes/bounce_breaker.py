"""Pauses sequences of which too many mails bounce, before the sender's reputation is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine import logs
from pipeline_engine.domain.mailboxes.origin import Origin
from pipeline_engine.domain.mailboxes.stored_mail import StoredMail
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.notifications import Notifications

WINDOW = timedelta(days=7)
MIN_SENDS = 100
"""Fewer allow no conclusion."""
MAX_RATE = 0.05

log = logs.get(__name__)


def bounces_too_much(bounced: int, sends: int) -> bool:
    """Whether more than 5 % of at least 100 mails bounced."""
    return sends >= MIN_SENDS and bounced > sends * MAX_RATE


async def check_bounce_rate(one: StoredMail, origin: Origin) -> None:
    """Pause the sequences that send through the mailbox, or all of the account, when too many of their mails of the
    last 7 days bounced. What bounced before the last pause counts no more: a person has looked at it."""
    if origin.sender_id and await _check(one, f"mailbox:{origin.sender_id}", origin.sender_id):
        return
    await _check(one, f"account:{one.account_id}", None)


async def _check(one: StoredMail, scope: str, mailbox: Any) -> bool:
    now, records = one.app.clock.now(), one.records
    since = max(filter(None, (now - WINDOW, await records.breaker_since(one.account_id, scope))))
    bounced, sequences = await records.bounced_of_sequences(one.account_id, since, mailbox)
    sends = await records.sequence_sends(one.account_id, since, mailbox)
    if not bounces_too_much(bounced, sends):
        return False
    reason = f"{bounced} of {sends} mails bounced since {since:%Y-%m-%d %H:%M} UTC"
    await _pause(one, scope, reason, now, sequences if mailbox else None)
    return True


async def _pause(one: StoredMail, scope: str, reason: str, now: datetime, sequences: Sequence[Any] | None) -> None:
    """The breaker is stored last, so that a crash in between repeats all of it; the notice has one id a day."""
    paused = {"since": now, "by": "bounce_rate", "reason": reason}
    count = await one.records.pause_sequences(one.account_id, paused, sequences)
    where = f"the mailbox {one.mailbox.get('username')}" if sequences is not None else "this account"
    notice = {
        "_id": derived_id("bounce notice", one.account_id, scope, now.date()),
        "account_id": one.account_id,
        "user_id": one.mailbox.get("user_id"),
        "kind": "sequences_paused",
        "title": "Sequences paused: too many mails bounce",
        "body": f"Of the sequences of {where} {reason}. They are paused. Clean the addresses, then resume them.",
    }
    await Notifications(one.app.store).open([notice])
    await one.records.set_breaker(one.account_id, scope, now)
    log.warning("sequences.paused", account_id=str(one.account_id), scope=scope, reason=reason, sequences=count)
