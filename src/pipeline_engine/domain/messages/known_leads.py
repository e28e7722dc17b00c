"""Which leads of an account an address stands for."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.addresses import address_hash, normal_address
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.ids import object_id

MAX_TEXTS = 200
"""The latest texts to a number; by these its leads are known."""


async def known_leads(app: App[Any], wish: OptOut) -> list[Any]:
    """The ids of the account's leads with the address. A telephone number may be kept in a spelling that no query can
    foresee, so the leads whose runs texted it count as well."""
    found = await app.shared.people.leads(wish.account_id, wish.channel, wish.spellings)
    texted = await _texted(app, wish) if wish.channel == "sms" else []
    return list({str(id): id for id in [*(one["_id"] for one in found), *texted]}.values())


async def _texted(app: App[Any], wish: OptOut) -> list[Any]:
    hash = address_hash(app.recipients_key, normal_address("sms", wish.address, wish.country))
    keys = await app.shared.effects.texts_to(wish.account_id, hash, MAX_TEXTS)
    entries = {id for key in keys if (id := entry_of(key))}
    return await app.shared.people.leads_of_entries(wish.account_id, list(entries)) if entries else []


def entry_of(key: str) -> ObjectId | None:
    """The entry of a lead whose run has sends under this key; None for the key of another system. Pure."""
    match key.split(":"):
        case ["lead", entry, *_]:
            return object_id(entry)
    return None
