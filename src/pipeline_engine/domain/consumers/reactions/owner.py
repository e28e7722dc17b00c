"""Gives new contacts without an owner to the active team members, each in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos

TYPES = frozenset({"contact.created"})
MAX_TRIES = 5
REFUSED = "MongoDB refuses to give the contact an owner"


async def assign(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> Mapping[Any, Exception]:
    """Give each contact that has no owner to the next member.

    Who gets whom is stored together with whose turn was last, then the contacts are changed. What a crash or another
    run left is done first, so that every turn is used exactly once.
    """
    contacts = list(dict.fromkeys(event.contact for event in events if event.contact))
    for _ in range(MAX_TRIES):
        profile = await app.repos.business_profiles.get_or_make(account_id)
        if pairs := profile.get("round_robin_allotted"):
            await _give(app, account_id, profile, pairs)
            continue
        unowned = await _unowned(app, account_id, contacts)
        members = await app.shared.users.members(account_id) if unowned else []
        if not members:
            return {}
        pairs = allotment(unowned, members, profile.get("round_robin_last"))
        if await app.repos.business_profiles.allot(profile, pairs, pairs[-1]["owner"]):
            refused = await _give(app, account_id, profile, pairs)
            return {event.id: Permanent(REFUSED) for event in events if event.contact in refused}
    return {event.id: Transient("other runs give contacts to members at the same time") for event in events}


def allotment(contacts: Sequence[ObjectId], members: Sequence[Any], last: Any) -> list[Document]:
    """Who gets whom: the members, in order of user id, take turns, from the one behind `last` on. Pure."""
    first = next((place for place, one in enumerate(members) if str(one) > str(last)), 0) if last is not None else 0
    return [
        {"contact_id": contact, "owner": members[(first + place) % len(members)]}
        for place, contact in enumerate(contacts)
    ]


async def _unowned(app: App[ConsumerRepos], account_id: ObjectId, ids: Sequence[ObjectId]) -> list[ObjectId]:
    found = await app.repos.contacts.find(account_id, ids, "owner")
    return [id for id in ids if id in found and not found[id].get("owner")]


async def _give(
    app: App[ConsumerRepos], account_id: ObjectId, profile: Document, pairs: Sequence[Document]
) -> set[ObjectId]:
    """Returns the contacts that could not be changed; their turns are used up, so that they hold up no other."""
    pairs_read = [one for one in pairs if isinstance(one, dict)]
    owners = {id: one.get("owner") for one in pairs_read if (id := object_id(one.get("contact_id")))}
    refused = await app.repos.contacts.set_owners(account_id, owners)
    await app.repos.business_profiles.end_allotment(profile, pairs)
    return refused
