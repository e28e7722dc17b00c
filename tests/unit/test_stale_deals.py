"""When a deal is stale, without servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import Decimal128, ObjectId

from pipeline_engine.domain.jobs.stale.alerts import Team, body, listing, notification
from pipeline_engine.domain.jobs.stale.review import ACTIVITY, CLOSED_DEAL, GONE, review
from pipeline_engine.domain.jobs.stale.standing import Standing, Thresholds, standing
from pipeline_engine.repos.sales_records import Touch

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def deal(**fields: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "name": "Renewal", "status": "open", "createdAt": NOW - 100 * DAY, **fields}


@pytest.mark.covers("CL-23")
@pytest.mark.parametrize(
    ("age", "state"),
    [
        (-DAY, "fresh"),
        (7 * DAY - SECOND, "fresh"),
        (7 * DAY, "stale"),
        (30 * DAY, "stale"),
        (30 * DAY + SECOND, "critical"),
    ],
)
def test_the_edges(age: timedelta, state: str) -> None:
    one = deal()
    touches = {str(one["_id"]): Touch(NOW - age, "call")}
    assert standing(one, touches, {}, Thresholds(), NOW).state == state


def test_the_last_touch_of_deal_or_contact_counts() -> None:
    contact = ObjectId()
    one = deal(contact_id=contact)
    of_deal, of_contact = Touch(NOW - 20 * DAY, "call"), Touch(NOW - 8 * DAY, "email_received")
    found = standing(one, {str(one["_id"]): of_deal}, {str(contact): of_contact}, Thresholds(), NOW)
    assert (found.since, found.last, found.days) == (of_contact.at, "email_received", 8)


@pytest.mark.parametrize(
    ("created", "state"),
    [(NOW - 8 * DAY, "stale"), (NOW, "fresh"), (NOW + 40 * DAY, "fresh"), ("long ago", "fresh"), (None, "fresh")],
)
def test_a_deal_that_was_never_touched_counts_from_its_creation(created: object, state: str) -> None:
    one = deal(createdAt=created, _id=ObjectId.from_datetime(NOW))
    assert standing(one, {}, {}, Thresholds(), NOW).state == state


@pytest.mark.parametrize(
    ("profile", "limits"),
    [
        ({}, (7, 30)),
        ({"stale_days": 3, "critical_days": 5}, (3, 5)),
        ({"stale_days": 0, "critical_days": "x"}, (7, 30)),
        ({"stale_days": 60}, (60, 60)),
        ({"stale_days": "3", "critical_days": Decimal128("5")}, (3, 5)),
    ],
)
def test_thresholds_of_the_profile(profile: dict[str, Any], limits: tuple[float, float]) -> None:
    found = Thresholds.of(profile)
    assert (found.stale, found.critical) == limits


def test_alerts_close_by_themselves_and_escalate_once() -> None:
    deals = [deal(), deal(), deal(status="won"), deal(), deal(), deal()]
    alerts: list[dict[str, Any]] = [{"_id": n, "deal_id": one["_id"]} for n, one in enumerate(deals)]
    alerts.append({"_id": 6, "deal_id": ObjectId()})
    alerts[3]["stale_since"] = NOW - 9 * DAY  # a call of eight days ago was logged only now
    alerts[1]["stale_since"] = NOW - 40 * DAY
    alerts[4]["at_risk"] = True
    alerts[5]["snoozed_until"] = NOW + DAY
    ages = dict(zip((str(one["_id"]) for one in deals), (1, 40, 1, 8, 40, 40), strict=True))
    touches = {id: Touch(NOW - age * DAY, "call") for id, age in ages.items()}

    found = review(
        alerts,
        {str(one["_id"]): one for one in deals},
        lambda one: standing(one, touches, {}, Thresholds(), NOW),
        NOW,
    )

    closed = {reason: [one["_id"] for one in some] for reason, some in found.close.items()}
    assert closed == {ACTIVITY: [0, 3], CLOSED_DEAL: [2], GONE: [6]}
    assert [one["_id"] for one in found.escalate] == [1]


def test_the_alert_is_the_same_for_as_long_as_nothing_happens() -> None:
    account, one = ObjectId(), deal()
    limits = Thresholds()
    first, later, after_a_call = (
        notification(account, one, standing(one, touches, {}, limits, now), limits, None, "text")
        for now, touches in (
            (NOW, {}),
            (NOW + DAY, {}),
            (NOW + DAY, {str(one["_id"]): Touch(NOW - 8 * DAY, "call")}),
        )
    )
    assert first["_id"] == later["_id"] != after_a_call["_id"]
    assert after_a_call["title"] == "Deal inactive for 7 days"
    assert "at_risk" in first
    assert "at_risk" not in after_a_call


@pytest.mark.parametrize(
    ("zone", "last", "shown"),
    [
        ("UTC", "call", "Renewal: nothing since 2026-01-23 (call)."),
        ("Pacific/Auckland", "email_sent", "Renewal: nothing since 2026-01-24 (e-mail)."),
    ],
)
def test_an_alert_says_since_when_by_the_accounts_calendar(zone: str, last: str, shown: str) -> None:
    found = Standing(datetime(2026, 1, 23, 20, tzinfo=UTC), last, 8, "stale")
    assert body(deal(), found, ZoneInfo(zone)) == shown


def test_who_is_notified() -> None:
    owner, admin = ObjectId(), ObjectId()
    assert Team({str(owner)}, [admin]).receiver({"owner": str(owner)}) == owner
    assert Team({str(admin)}, [admin]).receiver({"owner": owner}) == admin
    assert Team(set(), []).receiver({"created_by": owner}) == owner
    assert Team({"x"}, []).receiver({}) is None


def test_a_list_says_how_many_more_there_are() -> None:
    assert listing(["a", "b"], 2) == "a\nb"
    assert listing(["a"], 1201) == "a\nand 1,200 more"
