"""Lead score and grade as expressions over a contact, so that they never disagree with the fields they come from."""

from __future__ import annotations

from typing import Any, cast

from bson import encode
from bson.raw_bson import RawBSONDocument

from pipeline_engine.repos.client import Document

PROFILE_FIELDS = ("email", "name", "company", "title", "phone")
POINTS_PER_FIELD = 8
MAX_INTENT_POINTS = 60
MAX_SCORE = 100
GRADES = (("A", 80), ("B", 60), ("C", 40), ("D", 20))
"""Grades with their least score; below the last it is F."""


def _is_filled(field: str) -> Document:
    is_text = {"$eq": [{"$type": field}, "string"]}
    trimmed = {"$trim": {"input": {"$cond": [is_text, field, ""]}}}
    has_value = {"$not": [{"$in": [{"$type": field}, ["missing", "null", "undefined", "array", "object"]]}]}
    return {"$cond": [is_text, {"$ne": [trimmed, ""]}, has_value]}


def _lead_score() -> Document:
    """40 for a complete profile, 8 for each of its fields, and up to 60 for intent."""
    filled = [{"$cond": [_is_filled(f"${name}"), POINTS_PER_FIELD, 0]} for name in PROFILE_FIELDS]
    intent = {"$cond": [{"$isNumber": "$intent_score"}, "$intent_score", 0]}
    # NaN compares less than every number, so it counts as 0.
    return {"$min": [MAX_SCORE, {"$add": [*filled, {"$min": [MAX_INTENT_POINTS, {"$max": [0, intent]}]}]}]}


def _lead_grade() -> Document:
    branches = [{"case": {"$gte": ["$lead_score", least]}, "then": grade} for grade, least in GRADES]
    return {"$switch": {"branches": branches, "default": "F"}}


def _encoded(stage: Document) -> Document:
    encoded: Any = RawBSONDocument(encode(stage))
    return cast("Document", encoded)


RESCORE = tuple(_encoded({"$set": change}) for change in ({"lead_score": _lead_score()}, {"lead_grade": _lead_grade()}))
"""The last stages of an update that changes a contact: score and grade follow from its fields.

They are encoded once: intent decay makes an update per contact, and most of its time went into encoding these.
"""
