"""Expressions over fields of any type: the server can evaluate them on every document.

One document on which an expression fails would fail the whole query, and so hide the work of all accounts.
"""

from __future__ import annotations

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.own_fields import MAX_AHEAD

LAST_AHEAD: Document = {"$dateAdd": {"startDate": "$$NOW", "unit": "day", "amount": MAX_AHEAD.days}}


def whole(field: str) -> Document:
    """The number in the field as an integer of at least 0; 0 where it holds none."""
    number = {"$cond": [{"$isNumber": field}, field, 0]}
    return {"$max": [0, {"$convert": {"input": number, "to": "long", "onError": 0, "onNull": 0}}]}


def as_text(field: str | Document) -> Document:
    """The id or text in the field as text; null where it holds a value that is neither."""
    return {"$convert": {"input": field, "to": "string", "onError": None, "onNull": None}}


def exactly(value: str) -> Document:
    """A condition: the field holds this text. An equality alone also matches a list that contains it."""
    return {"$eq": value, "$not": {"$type": "array"}}


def ahead(field: str) -> Document:
    """Whether the field holds a time to come that the engine can have written. A value of another type, or a date more
    than MAX_AHEAD from now, is none."""
    is_date = {"$eq": [{"$type": field}, "date"]}
    return {"$and": [is_date, {"$gt": [field, "$$NOW"]}, {"$lte": [field, LAST_AHEAD]}]}


def account_key() -> Document:
    """The account of a document as text, in whose order accounts take turns. An id is the same as ObjectId and as text;
    all accounts that are neither share one turn."""
    is_id = {"$in": [{"$type": "$account_id"}, ["objectId", "string"]]}
    return {"$cond": [is_id, {"$toString": "$account_id"}, "malformed"]}


def fields_or_missing(field: str) -> Document:
    """The object in the field; missing where it holds none, so that fields can be set below it. A database reference
    counts as none, because pymongo does not return it as an object."""
    reference = {"$getField": {"field": {"$literal": "$ref"}, "input": field}}
    plain = {"$cond": [{"$eq": [{"$type": reference}, "missing"]}, field, "$$REMOVE"]}
    return {"$cond": [{"$eq": [{"$type": field}, "object"]}, plain, "$$REMOVE"]}
