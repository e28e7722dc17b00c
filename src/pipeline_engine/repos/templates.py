"""Templates that an account wrote for its mails and SMS."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.store import Store


class Templates:
    def __init__(self, store: Store) -> None:
        self._email = store.collection("email_templates")
        self._sms = store.collection("sms_templates")

    async def email(self, account_id: ObjectId, template_id: ObjectId) -> Document | None:
        """{subject, html, text}, or None when this account has no such template."""
        return await self._email.find_one({"_id": either(template_id), "account_id": either(account_id)})

    async def sms(self, account_id: ObjectId, template_id: ObjectId) -> Document | None:
        """{body}, or None when this account has no such template."""
        return await self._sms.find_one({"_id": either(template_id), "account_id": either(account_id)})
