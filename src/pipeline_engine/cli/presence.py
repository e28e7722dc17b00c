"""Whether any daemon is there to do what a command asked for."""

from __future__ import annotations

from redis.asyncio import Redis

from pipeline_engine.lanes import LaneQueue


def nobody(sweep: str) -> str:
    """What to say when there is none."""
    return f"No daemon runs at the moment: the next one to start does it, or `run-once {sweep}` now."


async def daemons(redis: Redis, queue: LaneQueue) -> int:
    """How many daemons run on this Redis: each one listens for the doorbell of the lanes."""
    ((_, listening),) = await redis.pubsub_numsub(queue.keys.doorbell)
    return int(listening)
