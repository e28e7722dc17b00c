"""Events that a clone causes: its progress goes straight to the sockets, its end through the outbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events import relay
from pipeline_engine.ids import object_id
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]
Event = dict[str, Any]

PROGRESS_SECONDS = 1.0
"""The least time between two progress events of a clone."""


class ProgressNotifier:
    """Notifies the active users of an account how many steps of a clone are done, at most once a second."""

    def __init__(self) -> None:
        self._notified_at: dict[ObjectId, float] = {}
        self._sending: dict[ObjectId, asyncio.Task[object]] = {}

    async def notify_progress(self, app: App[FunnelRepos], planned: Document, done: int) -> None:
        """Save and send the progress, unless the last event is less than a second old or is still being sent."""
        now, funnel_id = time.monotonic(), planned["_id"]
        self._notified_at = {id: at for id, at in self._notified_at.items() if now < at + PROGRESS_SECONDS}
        account_id = object_id(planned.get("account_id"))
        if funnel_id in self._notified_at or funnel_id in self._sending or not account_id:
            return
        self._notified_at[funnel_id] = now
        await app.repos.funnels.save_progress(planned, done)
        data = {"funnel_id": str(funnel_id), "steps_done": done, "steps_total": planned["clone"]["steps_total"]}
        event_id = f"funnel_cloning_progress:{funnel_id}:{planned['token']}:{done}"
        users = await app.shared.users.active_ids(account_id)
        # In the background: a socket service that hangs must not hold the step's place.
        task = asyncio.ensure_future(app.sockets.emit("funnel_cloning_progress", event_id, users, data))
        self._sending[funnel_id] = task
        task.add_done_callback(lambda _: self._sending.pop(funnel_id, None))


async def active_users(app: App[FunnelRepos], funnel: Document) -> list[str]:
    """The ids of the users who get a clone's socket events; none when the funnel names no account."""
    account_id = object_id(funnel.get("account_id"))
    return await app.shared.users.active_ids(account_id) if account_id else []


def completed_events(funnel: Document, users: Sequence[str], copied: Mapping[str, int], warnings: int) -> list[Event]:
    """The CRM event and the socket event of a completed clone. Pure."""
    end = _end_of(funnel)
    data = {"funnel_id": str(funnel["_id"]), "status": "completed"}
    figures: dict[str, Any] = {name: copied[name] for name in ("steps", "images", "forms")}
    figures |= {"warnings": warnings, "original_funnel_id": str(funnel.get("original_funnel_id"))}
    return [
        relay.crm_event(f"clone.completed:{end}", "clone.completed", funnel.get("user_id"), {**data, **figures}),
        relay.socket_event(f"funnel_cloning_completed:{end}", "funnel_cloning_completed", users, data),
    ]


def failed_event(funnel: Document, users: Sequence[str], error: str) -> Event:
    """The socket event of a clone that failed for good or was cancelled. Pure."""
    data = {"funnel_id": str(funnel["_id"]), "error": error}
    return relay.socket_event(f"funnel_cloning_failed:{_end_of(funnel)}", "funnel_cloning_failed", users, data)


def _end_of(funnel: Document) -> str:
    """Differs for each end of a clone: after a retry, a clone that ended sends events again."""
    return f"{funnel['_id']}:{funnel['clone'].get('generation', 0)}"
