"""Lead score and grade as expressions over a contact, so that they never disagree with the fields they come from."""

from __future__ import annotations

from functools import cache
from typing import Any

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


FILLED = tuple({"$cond": [_is_filled(f"${name}"), POINTS_PER_FIELD, 0]} for name in PROFILE_FIELDS)
"""The points for each field. Intent decay makes an update per contact, most of whose cost it was to make these anew."""


def lead_score(intent: Any = "$intent_score") -> Document:
    """40 for a complete profile, 8 for each of its fields, and up to 60 for intent."""
    number = {"$cond": [{"$isNumber": intent}, intent, 0]}
    # NaN compares less than every number, so it counts as 0.
    points = {"$min": [MAX_INTENT_POINTS, {"$max": [0, number]}]}
    return {"$min": [MAX_SCORE, {"$add": [*FILLED, points]}]}


@cache
def lead_grade(score: str = "$lead_score") -> Document:
    """The grade of the score in a field."""
    branches = [{"case": {"$gte": [score, least]}, "then": grade} for grade, least in GRADES]
    return {"$switch": {"branches": branches, "default": "F"}}
