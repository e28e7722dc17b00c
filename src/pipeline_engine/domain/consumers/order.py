"""In which order events are consumed: those of one key one after the other, other keys beside them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.repos.event_order import place_of

Document = Mapping[str, Any]
KEY_FIELDS = ("contact_id", "contactId", "deal_id", "dealId", "lead_id", "leadId")
MAX_KEY_CHARS = 200


def key_of(event: Document) -> str:
    """The key of the event: its own, else the contact, deal or lead in its data, else its id, which it shares with no
    other."""
    key = event.get("key")
    if isinstance(key, str | int | ObjectId) and not isinstance(key, bool) and key != "":
        return f"key:{str(key)[:MAX_KEY_CHARS]}"
    given = event.get("data")
    data: Document = given if isinstance(given, Mapping) else {}
    for name in KEY_FIELDS:
        if isinstance(value := data.get(name), str | ObjectId) and value:
            return f"{name[:4]}:{str(value)[:MAX_KEY_CHARS]}"
    return f"event:{event['_id']}"


def split_blocked(
    events: Sequence[dict[str, Any]], failing: Sequence[Document]
) -> tuple[list[dict[str, Any]], dict[datetime, list[Any]]]:
    """Those events that may be consumed now, and {time: ids} of those that wait until then, because an earlier event of
    their key does.

    `failing` are events with `failing_key` and `next_at` that wait for another attempt.
    """
    waits: dict[str, list[Document]] = defaultdict(list)
    for one in failing:
        waits[one["failing_key"]].append(one)
    free: list[dict[str, Any]] = []
    blocked: dict[datetime, list[Any]] = defaultdict(list)
    for event in events:
        before = [one["next_at"] for one in waits.get(key_of(event), ()) if place_of(one) < place_of(event)]
        if before:
            blocked[max(before)].append(event["_id"])
        else:
            free.append(event)
    return free, dict(blocked)


def waves(events: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The events in groups of distinct keys: the first of each key, then the second of each, and so on."""
    count: dict[str, int] = defaultdict(int)
    groups: list[list[dict[str, Any]]] = []
    for event in events:
        key = key_of(event)
        if count[key] == len(groups):
            groups.append([])
        groups[count[key]].append(event)
        count[key] += 1
    return groups
