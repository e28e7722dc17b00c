"""The order of CRM events: for MongoDB, and for events in memory. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

ORDER = [("occurred_at", 1), ("_id", 1)]
"""In which events are consumed and taken onward."""

Place = tuple[int, int, bool, str]


def place_of(event: Mapping[str, Any]) -> Place:
    """Where the event stands in ORDER; what is no date comes first, as in MongoDB."""
    moment = event.get("occurred_at")
    id = (isinstance(event["_id"], ObjectId), str(event["_id"]))
    if isinstance(moment, datetime):
        return (1, round(moment.timestamp() * 1000), *id)
    return (1, int(moment), *id) if isinstance(moment, DatetimeMS) else (0, 0, *id)
