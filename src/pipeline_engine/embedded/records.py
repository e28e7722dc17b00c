"""What a sink received and how it behaves, readable and settable over HTTP.

GET /sink/records -> [record, ...]    DELETE /sink/records    PUT /sink/behaviour {name: value, ...}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp.web import Application, Request, Response


class Records:
    """The records, a list of JSON objects, and the behaviour, a dictionary with defaults."""

    def __init__(self, **behaviour: Any) -> None:
        self._defaults = behaviour
        self.behaviour = dict(behaviour)
        self._records: list[dict[str, Any]] = []

    def add(self, **record: Any) -> None:
        """Keep one record."""
        self._records.append(record)

    def attach(self, app: Application) -> None:
        """Add the three routes to an aiohttp application."""
        app.router.add_get("/sink/records", self._read)
        app.router.add_delete("/sink/records", self._clear)
        app.router.add_put("/sink/behaviour", self._behave)

    async def _read(self, _request: Request) -> Response:
        return _json(self._records)

    async def _clear(self, _request: Request) -> Response:
        self._records.clear()
        self.behaviour = dict(self._defaults)
        return _json([])

    async def _behave(self, request: Request) -> Response:
        changes = await request.json()
        unknown = changes.keys() - self._defaults.keys()
        if unknown:
            return _json({"unknown": sorted(unknown), "known": sorted(self._defaults)}, status=400)
        self.behaviour.update(changes)
        return _json(self.behaviour)


def _json(content: object, status: int = 200) -> Response:
    from aiohttp.web import Response

    return Response(text=json.dumps(content, default=str), status=status, content_type="application/json")
