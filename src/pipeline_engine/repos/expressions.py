"""Expressions over fields of any type: the server can evaluate them on every document.

One document on which an expression fails would fail the whole query, and so hide the work of all accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.own_fields import MAX_AHEAD

LAST_AHEAD: Document = {"$dateAdd": {"startDate": "$$NOW", "unit": "day", "amount": MAX_AHEAD.days}}


def whole(field: str) -> Document:
    """The number in the field as an integer of at least 0; 0 where it holds none."""
    number = {"$cond": [{"$isNumber": field}, field, 0]}
    return {"$max": [0, {"$convert": {"input": number, "to": "long", "onError": 0, "onNull": 0}}]}


def as_text(field: str | Document) -> Document:
    """The id or text in the field as text; null where it holds a value that is neither."""
    # MongoDB refuses the whole query where it cannot convert a date, `onError` or not.
    return {"$cond": [{"$in": [{"$type": field}, ["string", "objectId"]]}, {"$toString": field}, None]}


def exactly(value: str) -> Document:
    """A condition: the field holds this text. An equality alone also matches a list that contains it."""
    return {"$eq": value, "$not": {"$type": "array"}}


def ahead(field: str) -> Document:
    """Whether the field holds a time to come that the engine can have written. A value of another type, or a date more
    than MAX_AHEAD from now, is none."""
    is_date = {"$eq": [{"$type": field}, "date"]}
    return {"$and": [is_date, {"$gt": [field, "$$NOW"]}, {"$lte": [field, LAST_AHEAD]}]}


def past(field: str) -> Document:
    """Whether the field holds a time that has come."""
    return {"$and": [{"$eq": [{"$type": field}, "date"]}, {"$lte": [field, "$$NOW"]}]}


def later_by_pause(name: str, now: datetime) -> Document:
    """The time in the field, put off by how long the enrolment was paused."""
    since = {"$cond": [{"$eq": [{"$type": "$paused_at"}, "date"]}, "$paused_at", now]}
    paused = {"$max": [0, {"$subtract": [now, since]}]}
    is_date = {"$eq": [{"$type": f"${name}"}, "date"]}
    return {"$cond": [is_date, {"$add": [f"${name}", paused]}, {"$ifNull": [f"${name}", "$$REMOVE"]}]}


def account_key() -> Document:
    """The account of a document as text, in whose order accounts take turns. An id is the same as ObjectId and as text;
    all accounts that are neither share one turn."""
    is_id = {"$in": [{"$type": "$account_id"}, ["objectId", "string"]]}
    return {"$cond": [is_id, {"$toString": "$account_id"}, "malformed"]}


def id_or_none(field: str) -> Document:
    """The id in the field, as ObjectId or as a text of 24 lower-case hex digits; null where it holds anything else, so
    that it can be grouped by however large that is."""
    hex_digits = {"$regexMatch": {"input": field, "regex": "^[0-9a-f]{24}$"}}
    is_text = {"$cond": [{"$eq": [{"$type": field}, "string"]}, hex_digits, False]}
    return {"$cond": [{"$or": [{"$eq": [{"$type": field}, "objectId"]}, is_text]}, field, None]}


STRANGE_ACCOUNT: Document = {"$expr": {"$eq": [id_or_none("$account_id"), None]}}
"""A filter: the document names no account, whatever stands in its `account_id`."""


def fields_or_missing(field: str) -> Document:
    """The object in the field; missing where it holds none, so that fields can be set below it. A database reference
    counts as none, because pymongo does not return it as an object."""
    reference = {"$getField": {"field": {"$literal": "$ref"}, "input": field}}
    plain = {"$cond": [{"$eq": [{"$type": reference}, "missing"]}, field, "$$REMOVE"]}
    return {"$cond": [{"$eq": [{"$type": field}, "object"]}, plain, "$$REMOVE"]}


def with_item(field: str, item: object) -> Document:
    """The list in the field with one more item; a list of it alone where the field holds none."""
    return {"$concatArrays": [{"$cond": [{"$isArray": field}, field, []]}, [{"$literal": item}]]}


def any_differs(values: Mapping[str, str], may: Mapping[str, Document]) -> Document:
    """Whether one of the fields holds another text than this, where `may` is true of it."""
    return {"$or": [{"$and": [may[name], {"$ne": [f"${name}", {"$literal": text}]}]} for name, text in values.items()]}


def set_where(values: Mapping[str, str], may: Mapping[str, Document]) -> Document:
    """{field: its new text where `may` is true of it, else what it holds}, for `$set`."""
    return {name: {"$cond": [may[name], {"$literal": text}, f"${name}"]} for name, text in values.items()}
