"""Ends a clone before its last step, or clears up after one that failed. Nothing of it stays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.finish import end_cancelled
from pipeline_engine.domain.funnels.look_up import look_up
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.funnel_repos import FunnelRepos

AGAIN = 1.0
"""Seconds until the next look whether the last step has stopped."""
AT_ONCE = 8


async def cancel(app: App[FunnelRepos], funnel_id: ObjectId) -> None:
    """Ask for the end: whoever claims the funnel next stops its steps and removes what they have made.

    Raises: Permanent `not_found` or `ended`.
    """
    if await app.repos.funnels.request_cancel(funnel_id):
        return
    await look_up(app, funnel_id)
    raise Permanent(f"funnel {funnel_id} is not being cloned: there is nothing to cancel", "ended")


async def clean_up(app: App[FunnelRepos], held: Mapping[str, Any]) -> Outcome | None:
    """Wait for the last step, then remove what was made: objects, then their records, forms, steps."""
    if await app.repos.funnel_steps.stop(held):
        await app.repos.funnels.release(held, {})
        return Snooze(after=AGAIN)
    images = await app.repos.images.of_clone(held)
    places = asyncio.Semaphore(AT_ONCE)

    async def remove(key: str) -> None:
        async with places:
            await app.storage.delete(key)

    await asyncio.gather(*(remove(image["key"]) for image in images))
    await app.repos.images.drop(held, [image["source_key"] for image in images])
    await app.repos.forms.remove(held)
    await app.repos.components.remove(held)
    await app.repos.funnel_steps.remove(held)
    await end_cancelled(app, held)
    return None
