"""Pauses and resumes a stage, a pipeline or an account on an operator's request."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.pauses import Pause, PausedWaits, read_pause
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.lead_pauses import SCOPES
from pipeline_engine.repos.lead_repos import LeadRepos

Scope = Literal["stage", "pipeline", "account"]


async def pause(
    app: App[LeadRepos], scope: Scope, id: ObjectId, waits: PausedWaits, duration: timedelta | None
) -> Pause:
    """Pause what the id names, for the duration or until it is resumed. What is paused already stays so since then.

    Raises: Permanent `not_found`.
    """
    document, now = await _find(app, scope, id), app.clock.now()
    before = read_pause(document)
    since = before.since if before and before.holds(now) else now
    wanted = Pause(since, now + duration if duration else None, waits)
    await app.repos.lead_pauses.set(_account_of(scope, document), scope, document["_id"], wanted.document())
    return wanted


async def resume(app: App[LeadRepos], scope: Scope, id: ObjectId) -> Pause:
    """End the pause now; the daemons then make up for it. Returns the pause as it ends.

    Raises: Permanent `not_found`, or `not_paused`.
    """
    document, now = await _find(app, scope, id), app.clock.now()
    before = read_pause(document)
    if before is None or not before.holds(now):
        raise Permanent(f"{scope} {id} is not paused", "not_paused")
    ended = Pause(before.since, now, before.waits)
    await app.repos.lead_pauses.set(_account_of(scope, document), scope, document["_id"], ended.document())
    return ended


async def _find(app: App[LeadRepos], scope: Scope, id: ObjectId) -> Document:
    found = await app.repos.lead_records.one(SCOPES[scope], id)
    if found is None:
        raise Permanent(f"there is no {scope} {id}", "not_found")
    return found


def _account_of(scope: Scope, document: Document) -> ObjectId:
    account_id = document["_id" if scope == "account" else "account_id"]
    return object_id(account_id) or account_id
