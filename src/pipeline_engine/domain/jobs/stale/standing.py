"""How long nothing has happened on a deal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.scoring import number_or
from pipeline_engine.repos.sales_records import CLOSED, Touch

STALE_DAYS, CRITICAL_DAYS = 7.0, 30.0
"""The seed's thresholds, where the account says nothing."""

State = Literal["fresh", "stale", "critical"]


@dataclass(frozen=True)
class Thresholds:
    """From `stale` days on a deal is stale; after more than `critical` days it is at risk."""

    stale: float = STALE_DAYS
    critical: float = CRITICAL_DAYS

    @classmethod
    def of(cls, profile: Mapping[str, Any]) -> Thresholds:
        """Those of the account's profile: `stale_days` and `critical_days`; 0 counts as not given."""
        stale = number_or(profile.get("stale_days"), STALE_DAYS) or STALE_DAYS
        critical = number_or(profile.get("critical_days"), CRITICAL_DAYS) or CRITICAL_DAYS
        return cls(stale, max(stale, critical))


@dataclass(frozen=True)
class Standing:
    """Since when nothing has happened, what happened last, and what follows."""

    since: datetime
    last: str
    """The type of the last touch; `created` where the deal was never touched."""
    days: int
    state: State


def is_open(deal: Mapping[str, Any]) -> bool:
    """Whether the deal is neither won nor lost."""
    return deal.get("status") not in CLOSED


def standing(
    deal: Mapping[str, Any],
    of_deals: Mapping[str, Touch],
    of_contacts: Mapping[str, Touch],
    limits: Thresholds,
    now: datetime,
) -> Standing:
    """How the deal stands by the last touch of the deal itself or of its contact, else by when it was created."""
    touches = [of_deals.get(str(deal["_id"])), of_contacts.get(str(deal.get("contact_id")))]
    usable = [touch for touch in touches if touch and usable_date(touch.at)]
    last = max([Touch(_created(deal, now), "created"), *usable], key=lambda touch: touch.at)
    age = now - last.at
    return Standing(last.at, last.type, max(0, age.days), _state(age, limits))


def _state(age: timedelta, limits: Thresholds) -> State:
    if age > timedelta(days=limits.critical):
        return "critical"
    return "stale" if age >= timedelta(days=limits.stale) else "fresh"


def _created(deal: Mapping[str, Any], now: datetime) -> datetime:
    created = usable_date(deal.get("createdAt"))
    if created is None and isinstance(deal["_id"], ObjectId):
        created = deal["_id"].generation_time
    # A deal that claims to be made in the future, and one of which nothing is known, count from now.
    return min(created or now, now)
