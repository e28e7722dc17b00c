"""Contacts with signals, activities and deals, as the CRM would leave them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from tests.support.crm_events import contact
from tests.support.crm_jobs import NOON
from tests.support.world import World


def signal(
    world: World, contact_id: object, points: object, days: float = 0.0, type: str = "page_view", **fields: Any
) -> ObjectId:
    """A signal of so many days before NOON."""
    what = {"type": type, "points": points, "occurred_at": NOON - timedelta(days=days), **fields}
    document = {"_id": ObjectId(), "account_id": world.account, "contact_id": contact_id, **what}
    world.db["intent_signals"].insert_one(document)
    return ObjectId(document["_id"])


def activity(world: World, contact_id: object, type: str, days: float = 0.0) -> None:
    own = {"account_id": world.account, "contact_id": contact_id}
    world.db["activities"].insert_one({**own, "type": type, "occurred_at": NOON - timedelta(days=days)})


def ready(world: World, **fields: Any) -> ObjectId:
    """A contact of grade A with an intent of 80 that has submitted a form."""
    id = contact(world, **{"lead_grade": "A", "intent_score": 80.0, "lifecycle_stage": "lead", **fields})
    world.db["form_submissions"].insert_one({"account_id": world.account, "contact_id": id, "row_key": str(id)})
    return id


def lost(world: World, days: float = 91, **fields: Any) -> ObjectId:
    """A contact that was lost so many days before NOON."""
    return contact(world, **{"status": "lost", "status_changed_at": ago(days), "owner": world.user, **fields})


def ago(days: float) -> datetime:
    return NOON - timedelta(days=days)
