"""Pauses of lanes, which hold until `resume`: MongoDB records them, and a key in Redis makes every daemon obey at once.

What fails or crashes half-way leaves the lane paused: sending too late can be mended, sending too early cannot.
"""

from __future__ import annotations

from pipeline_engine import workers
from pipeline_engine.app import App


async def pause(app: App, lane: str) -> None:
    """Let no daemon start jobs of this lane until `resume`. Raises: PyMongoError, Unreachable."""
    await _recorded(app)
    await app.shared.paused_lanes.add(lane)
    await app.queue.pause(lane)


async def resume(app: App, lane: str) -> None:
    """Let the daemons start jobs of this lane again. Raises: PyMongoError, Unreachable."""
    await _recorded(app)
    await app.shared.paused_lanes.remove(lane)
    await app.queue.resume(lane)


async def restore(app: App) -> None:
    """Pause in Redis every lane whose pause is recorded: Redis may have lost it. Raises: PyMongoError, Unreachable."""
    lanes = await _recorded(app)
    for lane in lanes:
        await app.queue.pause(lane)
    # A `resume` of another process may have come between the record and the key.
    for lane in set(lanes).difference(await _recorded(app) if lanes else ()):
        await app.queue.resume(lane)


async def _recorded(app: App) -> list[str]:
    """The lanes whose pause is recorded. The first call of an installation records what is paused in Redis, where an
    engine before this one kept its pauses."""
    lanes = await app.shared.paused_lanes.names()
    if lanes is None:
        counts = await app.queue.counts(list(workers.lanes()))
        await app.shared.paused_lanes.begin(lane for lane, count in counts.items() if count.paused)
        lanes = await app.shared.paused_lanes.names()
    return lanes or []
