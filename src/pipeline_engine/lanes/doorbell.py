"""Hears what other processes put into lanes, on a connection of its own."""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio import Redis


async def listen(redis: Redis, channel: str, heard: Callable[[str, str], None], answered: Callable[[], None]) -> bool:
    """Call `heard(sender, lane)` for every ring until the connection breaks, which raises.

    `answered()` is called whenever listening begins: rings before that were missed.
    """
    async with redis.pubsub() as bell:
        await bell.subscribe(channel)
        async for message in bell.listen():
            if message["type"] == "subscribe":
                answered()
            elif message["type"] == "message":
                sender, _, lane = message["data"].decode(errors="replace").partition(" ")
                heard(sender, lane)
    return True
