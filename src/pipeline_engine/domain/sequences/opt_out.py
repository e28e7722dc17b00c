"""Ends the sequences of contacts who want no more e-mails."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.repos.sequence_repos import SequenceRepos


async def cancel(app: App[SequenceRepos], wish: OptOut) -> int:
    """End these contacts' enrolments as `unsubscribed`. Returns how many ended."""
    if wish.channel != "email":
        return 0
    contacts = await app.shared.people.contacts(wish.account_id, wish.channel, wish.spellings)
    if not contacts:
        return 0
    ids, reason = [one["_id"] for one in contacts], wish.source or "the contact unsubscribed"
    enrollments = app.repos.sequence_enrollments
    return await enrollments.end_of_contacts(wish.account_id, ids, "unsubscribed", reason, app.clock.now())
