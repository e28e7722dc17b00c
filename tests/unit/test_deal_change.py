"""A change as updates: references in a list are the same as ObjectId and as string."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.repos.deal_change import DealChange

TAG = ObjectId("66c0" * 6)


def operators(change: DealChange) -> dict[str, Any]:
    update = change.operators()
    update.pop("$currentDate")
    return update


@pytest.mark.parametrize("name", ["tags", "followers"])
@pytest.mark.parametrize("given", [TAG, str(TAG)])
def test_a_reference_is_added_as_an_id_and_taken_away_in_both_forms(name: str, given: object) -> None:
    assert operators(DealChange(add={name: [given, "hot", TAG]})) == {"$addToSet": {name: {"$each": [TAG, "hot"]}}}
    assert operators(DealChange(remove={name: [given]})) == {"$pull": {name: {"$in": [TAG, str(TAG)]}}}


def test_operators_are_not_meant_for_deals_that_have_the_reference_as_string() -> None:
    (meant_for, _), (rest, _) = DealChange(add={"tags": [TAG, "hot"]}).updates()
    assert (meant_for, rest) == ({"tags": {"$nin": [str(TAG)]}}, {})
    assert [only for only, _ in DealChange(add={"tags": ["hot"]}).updates()] == [{}, {}]


def test_marks_of_the_engine_are_what_they_are() -> None:
    change = DealChange(add={"automation_triggered": [TAG]}, remove={"automation_failed": [TAG, str(TAG)]})
    assert change.updates()[0][0] == {}
    assert operators(change) == {
        "$addToSet": {"automation_triggered": {"$each": [TAG]}},
        "$pull": {"automation_failed": {"$in": [TAG, str(TAG)]}},
    }


def test_what_is_computed_leaves_expressions_alone() -> None:
    assert [only for only, _ in DealChange(add={"tags": [TAG]}, compute={"n": 1}).updates()] == [{}]


def test_expressions_set_a_field_below_an_object_only() -> None:
    """The server refuses `$mergeObjects` of a text or list; null and what is missing become an object."""
    *guards, stage = DealChange(set={"a.b.c": 1, "a.d": 2, "e": 3}).expressions()
    assert guards == [{"$set": {name: {"$mergeObjects": [{}, f"${name}"]}}} for name in ("a", "a.b")]
    assert stage["$set"]["a.b.c"] == {"$literal": 1}
    assert len(DealChange(set={"e": 3}, add={"tags": ["x"]}).expressions()) == 1
