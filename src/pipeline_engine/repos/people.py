"""Contacts and leads by their address, for messages that come in and for people who want none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.deals import WITHOUT_CASE
from pipeline_engine.repos.messages import Channel
from pipeline_engine.repos.store import Store

MAX_FOUND = 1000


class People:
    def __init__(self, store: Store) -> None:
        self._contacts = store.collection("contacts")
        self._leads = store.collection("leads")
        self._entries = store.collection("lead_stages")
        self._responses = store.collection("lead_responses")

    async def contacts(self, account_id: ObjectId, channel: Channel, spellings: Sequence[str]) -> list[Document]:
        """`{_id, email, phone, timezone}` of the account's contacts with one of these addresses; upper and lower case
        are the same."""
        field = "email" if channel == "email" else "phone"
        query = {"account_id": either(account_id), field: {"$in": list(spellings)}}
        options: dict[str, Any] = {"collation": WITHOUT_CASE} if channel == "email" else {}
        fields = ["email", "phone", "timezone"]
        return await self._contacts.find(query, limit=MAX_FOUND, projection=fields, **options)

    async def leads(self, account_id: ObjectId, channel: Channel, spellings: Sequence[str]) -> list[Document]:
        """`{_id, email, status}` of the account's leads with one of these addresses; upper and lower case are the
        same."""
        field = "email" if channel == "email" else "phone"
        query = {"account_id": either(account_id), field: {"$in": list(spellings)}}
        options: dict[str, Any] = {"collation": WITHOUT_CASE} if channel == "email" else {}
        return await self._leads.find(query, limit=MAX_FOUND, projection=["email", "status"], **options)

    async def leads_of_entries(self, account_id: ObjectId, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """The leads of these entries of the account."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        found = await self._entries.find(query, projection=["lead_id"])
        return [id for one in found if (id := object_id(one.get("lead_id")))]

    async def add_responses(self, responses: Sequence[Document]) -> None:
        """Insert replies of leads, under ids of their own; those that are there stay as they are."""
        await self._responses.insert_missing(responses)

    async def accounts_with_phone(self, spellings: Sequence[str]) -> set[Any]:
        """The accounts, as they are stored, with a contact or lead of this number."""
        query = {"phone": {"$in": list(spellings)}}
        found = [
            one.get("account_id")
            for collection in (self._contacts, self._leads)
            for one in await collection.everywhere.find(query, limit=MAX_FOUND, projection=["account_id"])
        ]
        return {id for id in found if isinstance(id, ObjectId | str)}
