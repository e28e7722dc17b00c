"""What is posted: `{type, timestamp, id, account_id, data}` as JSON of at most 20 kB. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any
from urllib.parse import quote

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import object_id

MAX_BYTES = 20_000
MAX_ID_CHARS = 200
MAX_IDS = 10
"""So many ids, and lists of ids, are kept of data that is reduced."""
LISTED_BYTES = len('"64b000000000000000000001",')
TIMES = ("occurred_at", "timestamp", "ended_at", "createdAt")
"""Fields that say when it happened, the first that does first: one without `occurred_at` happened when it was consumed
or made a delivery. Steps of workflows once stored `timestamp`."""


def body_of(event: Mapping[str, Any], public_url: str | None) -> bytes:
    """The body for an event of `crm_events` or, without a `public_url`, for what has a payload of its own.

    The `data` of an event that is `large`, or of which the body would have more than MAX_BYTES, is reduced to the ids
    in it, of lists the first ones and a count, with `truncated: true` and, where there is a `public_url`, a `link` to
    the whole event.
    """
    whole = content_of(event)
    body = _json(whole)
    if len(body) <= MAX_BYTES and event.get("large") is not True:
        return body
    link = {"link": f"{public_url.rstrip('/')}/api/v1/events/{quote(whole['id'])}"} if public_url else {}
    return _reduced({**whole, "truncated": True, **link})


def content_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """The whole event, as JSON can hold it."""
    return {
        "type": str(event.get("type"))[:MAX_ID_CHARS],
        "timestamp": next(filter(None, (_time(event.get(name)) for name in TIMES)), None),
        "id": str(event.get("_id"))[:MAX_ID_CHARS],
        "account_id": str(event.get("account_id"))[:MAX_ID_CHARS],
        "data": plain(event.get("data")),
    }


def _reduced(whole: Mapping[str, Any]) -> bytes:
    """The body with nothing but ids in `data`. Lists share what room the rest leaves."""
    fields = data if isinstance(data := whole["data"], Mapping) else {}
    ids, lists = _ids(fields), _lists(fields)
    ids |= {f"{name}_count": len(some) for name, some in lists.items()}

    def with_lists(most: int) -> bytes:
        return _json({**whole, "data": {**ids, **{name: some[:most] for name, some in lists.items()}}})

    room = MAX_BYTES - len(with_lists(0))
    return with_lists(max(0, room) // (LISTED_BYTES * max(1, len(lists))))


def _ids(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What names records: short texts whose names say so, then ids under other names."""
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and _is_short(name, value)}
    named = {name: value for name, value in texts.items() if name.endswith(("_id", "Id"))}
    others = {name: value for name, value in texts.items() if object_id(value)}
    return dict(list({**named, **others}.items())[:MAX_IDS])


def _lists(fields: Mapping[str, Any]) -> dict[str, list[str]]:
    """The lists that hold nothing but ids."""
    lists = {name: some for name, some in fields.items() if isinstance(some, list) and some and _is_short(name)}
    return dict([one for one in lists.items() if all(map(object_id, one[1]))][:MAX_IDS])


def _is_short(name: str, value: str = "") -> bool:
    return len(_json({name: value})) <= MAX_ID_CHARS


def plain(value: Any) -> Any:
    """A value of MongoDB as JSON has it: ids and numbers of its own kinds as text, times as ISO 8601 in UTC, bytes as
    base64; what is no number is null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, ObjectId) else str(value)[:MAX_BYTES]


def _time(value: object) -> str | None:
    found = usable_date(value)
    return found.astimezone(UTC).isoformat().replace("+00:00", "Z") if found else None


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")
