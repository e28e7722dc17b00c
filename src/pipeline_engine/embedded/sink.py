"""The client of a sink: reads what it received, sets how it behaves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import ClientSession

Record = dict[str, Any]
BAD_REQUEST = 400


class Sink:
    """The sink at SOCKET_SINK_URL or SMTP_SINK_URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def records(self, **like: object) -> list[Record]:
        """What the sink received, oldest first; with `like`, only records that have these values."""
        records: list[Record] = await self._call("GET", "/sink/records")
        return [record for record in records if like.items() <= record.items()]

    async def wait_for(self, count: int, patience: float = 10, **like: object) -> list[Record]:
        """The records, once there are `count`. Raises: TimeoutError after `patience` seconds."""
        deadline = time.monotonic() + patience
        while len(records := await self.records(**like)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(records)} of {count} records after {patience:g} s: {records}")
            await asyncio.sleep(0.02)
        return records

    async def clear(self) -> None:
        """Remove the records and restore the default behaviour."""
        await self._call("DELETE", "/sink/records")

    async def behave(self, **behaviour: object) -> None:
        """Set the behaviour that each sink's module lists. Raises: ValueError that names an unknown one."""
        await self._call("PUT", "/sink/behaviour", behaviour)

    async def _call(self, method: str, path: str, content: object = None) -> Any:
        async with (
            ClientSession() as session,
            session.request(method, self._url + path, json=content) as answer,
        ):
            if answer.status == BAD_REQUEST:
                raise ValueError(await answer.text())
            answer.raise_for_status()
            return await answer.json()
