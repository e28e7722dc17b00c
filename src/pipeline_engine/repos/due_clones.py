"""The stages of an aggregation that choose, of all clones that may be claimed, those that a run should claim now."""

from __future__ import annotations

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.expressions import account_key, id_or_none

CANCEL_REQUESTED: Document = {"clone.cancel_requested": True}


def due_clones(funnels: str, under_way: Document, limit: int) -> list[Document]:
    """At most `limit` clones, as `{_id, account_id}`, in the order in which to claim them.

    `funnels` is the name of the collection, `under_way` the filter for the clones that take up places of their account.
    A clone is not among them while the funnel that it copies is itself due or under way, unless it is to be cancelled:
    the pages of that funnel are still empty.
    """
    turn = {
        "partitionBy": account_key(),
        "sortBy": {"order": 1},
        "output": {"turn": {"$documentNumber": {}}},
    }
    return [
        _with_original(funnels),
        {"$match": {"$or": [CANCEL_REQUESTED, {"original.is_open": {"$ne": True}}]}},
        _in_order(waits=True),
        {"$unionWith": {"coll": funnels, "pipeline": [{"$match": under_way}, _in_order(waits=False)]}},
        {"$setWindowFields": turn},
        {"$match": {"$or": [{"asked": True}, {"order.waits": True, "turn": {"$lte": limit}}]}},
        {"$sort": {"asked": -1, "turn": 1, "order": 1}},
        {"$limit": limit},
    ]


def _with_original(funnels: str) -> Document:
    """Adds to a clone, as `original`, whether the funnel that it copies is due or under way."""
    id: Document = {"$toObjectId": id_or_none("$original_funnel_id")}
    another = {"$cond": [{"$eq": [id, "$_id"]}, None, id]}  # a clone of itself is not waited for, but refused
    is_open = {"$or": [{"$eq": ["$pending", True]}, {"$eq": ["$in_progress", True]}]}
    is_it = {"$and": [{"$ne": ["$$id", None]}, {"$eq": ["$_id", "$$id"]}]}
    found = [{"$match": {"$expr": is_it}}, {"$project": {"is_open": is_open}}]
    return {"$lookup": {"from": funnels, "let": {"id": another}, "pipeline": found, "as": "original"}}


def _in_order(waits: bool) -> Document:
    """The fields that sort: clones under way before those that wait, and those with a failed run after those
    without."""
    order = {"waits": {"$literal": waits}, "next_at": {"$ifNull": ["$clone.next_at", None]}, "_id": "$_id"}
    asked = {"$and": [waits, {"$eq": ["$clone.cancel_requested", True]}]}
    return {"$project": {"account_id": 1, "order": order, "asked": asked}}
