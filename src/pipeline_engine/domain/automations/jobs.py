"""The job that runs a slice of an automation, and one lane per type of automation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import Backoff, JobKind, Lane

# Types that call another server for every unit get half as many places.
PLACES = {
    "add_tag": 10,
    "remove_tag": 10,
    "email": 5,
    "sms": 5,
    "note": 10,
    "reminder": 10,
    "owner": 10,
    "follower": 10,
    "stage": 10,
    "instareport": 5,
    "instasite": 5,
}


def _lane(type: str, places: int) -> Lane:
    # The automation counts crashes and allows more of them than a lane would.
    return Lane(f"deals.automations.{type}", places, Backoff.fixed(4), crashes=None)


SLICE: dict[str, JobKind[ObjectId]] = {
    type: JobKind("automation.run", _lane(type, places), ObjectId, "automations") for type, places in PLACES.items()
}
"""The kind of job by type of automation."""


def unit_of(automation: Mapping[str, Any]) -> Unit:
    """The automation as a unit, with the job that runs its next slice; it only ends the run of a type that is not
    ours."""
    kind = SLICE.get(str(automation.get("type")), SLICE["note"])
    return Unit.of(kind, automation["_id"], automation.get("account_id"))
