"""What is written of the mails of sequences: rows of the contacts' timelines, and the mails that a mailbox has sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.email_messages import EMAIL_MESSAGES
from pipeline_engine.repos.lead_exits import ACTIVITIES
from pipeline_engine.repos.store import Store


class SequenceRecords:
    """Documents under derived ids: one that is written again changes nothing."""

    def __init__(self, store: Store) -> None:
        self._activities = store.collection(ACTIVITIES)
        self._messages = store.collection(EMAIL_MESSAGES)

    async def add_activities(self, rows: Sequence[Document]) -> None:
        """Insert the rows of timelines that are missing."""
        await self._activities.insert_missing(rows)

    async def add_messages(self, rows: Sequence[Document]) -> None:
        """Insert the mails that are missing, also when the mailbox's sync has inserted the same one."""
        await self._messages.insert_missing(rows)

    async def subjects(self, account_id: ObjectId, activities: Sequence[ObjectId]) -> dict[ObjectId, str]:
        """{id of a timeline's row: the subject of the mail} of those that exist."""
        query = {"account_id": either(account_id), "_id": {"$in": list(activities)}}
        found = await self._activities.find(query, projection=["data.subject"]) if activities else []
        return {one["_id"]: _subject(one.get("data")) for one in found}


def _subject(data: Any) -> str:
    return str(data.get("subject") or "") if isinstance(data, dict) else ""
