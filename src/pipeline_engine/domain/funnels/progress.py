"""Tells the users of an account how far a clone is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.ids import object_id
from pipeline_engine.repos.funnel_repos import FunnelRepos

PAUSE = 1.0
"""Seconds between two events of a clone."""


class Progress:
    def __init__(self) -> None:
        self._told: dict[ObjectId, float] = {}
        self._telling: dict[ObjectId, asyncio.Task[object]] = {}

    async def tell(self, app: App[FunnelRepos], planned: Mapping[str, Any], done: int) -> None:
        """Straight by socket, unless the last time is a moment ago or still on its way."""
        now, funnel_id = time.monotonic(), planned["_id"]
        self._told = {id: at for id, at in self._told.items() if now < at + PAUSE}
        account_id = object_id(planned.get("account_id"))
        if funnel_id in self._told or funnel_id in self._telling or not account_id:
            return
        self._told[funnel_id] = now
        await app.repos.funnels.tell_progress(planned, done)
        data = {"funnel_id": str(funnel_id), "steps_done": done, "steps_total": planned["clone"]["steps_total"]}
        event_id = f"funnel_cloning_progress:{funnel_id}:{planned['token']}:{done}"
        users = await app.shared.users.active(account_id)
        # In the background: a socket service that hangs must not hold the step's place.
        task = asyncio.ensure_future(app.sockets.emit("funnel_cloning_progress", event_id, users, data))
        self._telling[funnel_id] = task
        task.add_done_callback(lambda _: self._telling.pop(funnel_id, None))
