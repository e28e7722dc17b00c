"""What an account writes in its messages (templates) and to which addresses it must not write (suppressions)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

Channel = Literal["email", "sms"]

SUPPRESSIONS = CollectionSpec(
    "suppressions",
    indexes=(index("account_id", "address", "channel"),),
    wakes=(INSERTED,),
)


class Templates:
    """The templates that an account wrote for its e-mails and SMS. The engine only reads them."""

    def __init__(self, store: Store) -> None:
        self._email = store.collection("email_templates")
        self._sms = store.collection("sms_templates")

    async def email(self, account_id: ObjectId, template_id: ObjectId) -> Document | None:
        """{subject, html, text}, or None when this account has no such template."""
        return await self._email.find_one({"_id": either(template_id), "account_id": either(account_id)})

    async def sms(self, account_id: ObjectId, template_id: ObjectId) -> Document | None:
        """{body}, or None when this account has no such template."""
        return await self._sms.find_one({"_id": either(template_id), "account_id": either(account_id)})


class Suppressions:
    """Addresses and telephone numbers that must receive nothing more from an account."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(SUPPRESSIONS)

    async def suppressed(self, account_id: ObjectId, channel: Channel, addresses: Iterable[str]) -> set[str]:
        """Those of the addresses that are suppressed for the channel or for all channels, in lower case.

        The CRM stores suppressions in lower case; one stored in the spelling of the given address is found as well."""
        spellings = sorted({spelling for address in addresses for spelling in (address, address.lower())})
        query = {
            "account_id": either(account_id),
            "channel": {"$in": [channel, "all"]},
            "address": {"$in": spellings},
        }
        found = await self._own.find(query, projection=["address"]) if spellings else []
        return {one["address"].lower() for one in found}
