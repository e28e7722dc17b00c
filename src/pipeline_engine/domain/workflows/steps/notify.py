"""Notifies a user: the one that the step names, else the contact's owner, else all active users of the account."""

from __future__ import annotations

from typing import Any

from pipeline_engine.domain.workflows.merge_records import fill_in
from pipeline_engine.domain.workflows.step import NonBlank, RecordId, StepConfig, StepPassed, StepRun
from pipeline_engine.domain.workflows.write_document import write_documents
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id


class Notification(StepConfig):
    title: NonBlank
    body: str = ""
    user_id: RecordId | None = None


async def perform(run: StepRun, config: Notification) -> StepPassed:
    users = await _users(run, config)
    if not users:
        raise Permanent("there is no user to notify: the contact has no owner and the account no users", "no_user")
    texts = await fill_in(run, {"title": config.title, "body": config.body})
    rows = [{"user_id": user, "kind": "workflow", **texts, "status": "open"} for user in users]
    await write_documents(run, "ai_notifications", rows)
    return StepPassed(f"notified {len(users)} users" if len(users) > 1 else f"notified user {users[0]}")


async def _users(run: StepRun, config: Notification) -> list[Any]:
    contact = await run.contact()
    if config.user_id is not None:
        await run.app.shared.references.check("users", [config.user_id], run.account_id)
        return [config.user_id]
    if contact.get("owner"):
        return [contact["owner"]]
    return [object_id(id) or id for id in await run.app.shared.users.active_ids(run.account_id)]


async def rehearse(run: StepRun, config: Notification) -> str:
    users = await _users(run, config)
    texts = await fill_in(run, {"title": config.title, "body": config.body})
    return f"would notify {', '.join(map(str, users)) or 'no user'}: {texts['title']}"
