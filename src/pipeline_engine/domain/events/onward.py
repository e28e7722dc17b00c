"""Consumed events on their way to one who takes them: one that cannot be taken keeps no other from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.lanes.classify_error import brief, where
from pipeline_engine.repos.client import Document

Take = Callable[[Sequence[Document]], Awaitable[object]]
"""Stores all that follows from these events. What it did before it failed, it can do again."""


async def take_onward(app: App, account_id: ObjectId, name: str, events: Sequence[Document], take: Take) -> None:
    """Have `take` take the events, then mark them as taken by `name`. If one of them makes it fail, they are taken one
    by one, and that one is set aside."""
    ids = [event["_id"] for event in events]
    try:
        await take(events)
    except Exception as error:
        if not blames_document(error):
            raise
        if len(events) == 1:
            await app.shared.crm_events.set_aside(ids[0], f"{name} cannot take it: {brief(error)} {where(error)}")
        for one in events if len(events) > 1 else ():
            await take_onward(app, account_id, name, [one], take)
        return
    await app.shared.crm_events.taken(account_id, name, ids)
