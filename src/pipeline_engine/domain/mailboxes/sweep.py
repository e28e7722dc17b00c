"""Finds mailboxes that are to be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.mailboxes.jobs import LINK, SYNC
from pipeline_engine.domain.unit import Unit, fair
from pipeline_engine.ids import object_id
from pipeline_engine.repos.email_accounts import login_print
from pipeline_engine.repos.integration_credentials import REAUTH_REQUIRED
from pipeline_engine.repos.mailbox_repos import MailboxRepos

MAX_FOUND = 5000
LINK_EVERY = timedelta(minutes=15)


async def find(app: App[MailboxRepos]) -> list[Unit]:
    """Active mailboxes whose next pass is due. One that rests after a failure is due as well when a person has mended
    its login since."""
    now = app.clock.now()
    found = await app.repos.email_accounts.find_due(MAX_FOUND)
    dead = await app.shared.integration_credentials.dead([id for one in found if (id := _awaited(one))])
    due = [one for one in found if one.get("due_at") is None or one["due_at"] <= now or is_mended(one, dead)]
    return await _units(app, due)


async def _units(app: App[MailboxRepos], mailboxes: Sequence[Mapping[str, Any]]) -> list[Unit]:
    """A unit for each mailbox. The first of an account also links messages, unless that was done a moment ago."""
    accounts = {id: one["_id"] for one in reversed(mailboxes) if (id := object_id(one.get("account_id")))}
    looked_at = await app.repos.mail_records.looked_at(list(accounts), app.clock.now() - LINK_EVERY)
    linking = {mailbox: account for account, mailbox in accounts.items() if account not in looked_at}
    units = []
    for one in mailboxes:
        link = ((LINK, linking[one["_id"]]),) if one["_id"] in linking else ()
        units.append(Unit(str(one["_id"]), str(one.get("account_id")), ((SYNC, one["_id"]), *link)))
    return fair(units, MAX_FOUND)


def is_mended(mailbox: Mapping[str, Any], dead: Collection[str]) -> bool:
    """Whether a person has mended since what the last pass failed by: the settings of the login, or the credential that
    was to be connected again and is not among the `dead` any more. Pure."""
    if (awaited := _awaited(mailbox)) and str(awaited) not in dead:
        return True
    return mailbox.get("tried_with") not in (None, login_print(mailbox))


def _awaited(mailbox: Mapping[str, Any]) -> ObjectId | str | None:
    """The credential that is to be connected again before the mailbox can be read."""
    # Its version is no sign of that: the engine's own refreshes raise it.
    id = mailbox.get("credential_id")
    return id if mailbox.get("error_code") == REAUTH_REQUIRED and isinstance(id, ObjectId | str) else None


async def find_due_now(app: App[MailboxRepos]) -> list[Unit]:
    """All active mailboxes: the operator wants them read now."""
    return await _units(app, await app.repos.email_accounts.find_active(MAX_FOUND))


async def find_abandoned(app: App[MailboxRepos]) -> list[Unit]:
    """Mailboxes whose holder has died."""
    return [Unit.of(SYNC, one["_id"], one.get("account_id")) for one in await app.repos.email_accounts.abandoned()]


async def outcomes(app: App[MailboxRepos], ids: Sequence[str]) -> dict[str, str]:
    """{unit id: succeeded|failed|busy}."""
    wanted = [ObjectId(id) for id in ids if ObjectId.is_valid(id)]
    states = await app.repos.email_accounts.states(wanted, "failures", "lease_owner")
    return {id: _outcome(states.get(ObjectId(id), {}) if ObjectId.is_valid(id) else {}) for id in ids}


def _outcome(state: Mapping[str, Any]) -> str:
    if state.get("lease_owner"):
        return "busy"
    return "failed" if state.get("failures") else "succeeded"
