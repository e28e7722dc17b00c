"""Finds mailboxes that are to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.mailboxes.jobs import SYNC
from pipeline_engine.domain.unit import Unit, fair
from pipeline_engine.repos.email_accounts import login_print
from pipeline_engine.repos.mailbox_repos import MailboxRepos

MAX_FOUND = 5000


async def find(app: App[MailboxRepos]) -> list[Unit]:
    """Active mailboxes whose next pass is due. One that rests after a failure is due as well when its settings were
    changed since."""
    now = app.clock.now()
    found = await app.repos.email_accounts.find_due(MAX_FOUND)
    due = [one for one in found if one.get("due_at") is None or one["due_at"] <= now or _is_mended(one)]
    return fair(map(_unit, due), MAX_FOUND)


def _is_mended(mailbox: Mapping[str, Any]) -> bool:
    return mailbox.get("tried_with") not in (None, login_print(mailbox))


async def find_due_now(app: App[MailboxRepos]) -> list[Unit]:
    """All active mailboxes: the operator wants them read now."""
    return fair(map(_unit, await app.repos.email_accounts.find_active(MAX_FOUND)), MAX_FOUND)


async def find_abandoned(app: App[MailboxRepos]) -> list[Unit]:
    """Mailboxes whose holder has died."""
    return [_unit(one) for one in await app.repos.email_accounts.abandoned()]


async def outcomes(app: App[MailboxRepos], ids: Sequence[str]) -> dict[str, str]:
    """{unit id: succeeded|failed|busy}."""
    wanted = [ObjectId(id) for id in ids if ObjectId.is_valid(id)]
    states = await app.repos.email_accounts.states(wanted, "failures", "lease_owner")
    return {id: _outcome(states.get(ObjectId(id), {}) if ObjectId.is_valid(id) else {}) for id in ids}


def _outcome(state: Mapping[str, Any]) -> str:
    if state.get("lease_owner"):
        return "busy"
    return "failed" if state.get("failures") else "succeeded"


def _unit(mailbox: Mapping[str, Any]) -> Unit:
    return Unit.of(SYNC, mailbox["_id"], mailbox.get("account_id"))
