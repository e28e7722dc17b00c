"""What a day's figures say, without servers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from pipeline_engine.domain.jobs import daily_insight
from pipeline_engine.domain.jobs.crm_job import JobWork
from pipeline_engine.domain.jobs.insights.figures import Figures, Series, Stage
from pipeline_engine.domain.jobs.insights.insight import add_performer, recommend
from pipeline_engine.domain.jobs.insights.trends import find_trends, is_anomaly
from pipeline_engine.domain.jobs.writing.fact_sheet import FactSheet

END = datetime(2026, 1, 10, 8, tzinfo=UTC)
NONE = Series([0] * 8)
QUIET = Figures(END, NONE, NONE, NONE, NONE, NONE, NONE)


def said(figures: Figures) -> tuple[list[str], list[str], list[str]]:
    """What goes up, what needs attention, and what is recommended."""
    sheet = FactSheet()
    found = find_trends(figures, sheet, "id")
    up, attention = ([sheet.fill(fact.wording) for fact in some] for some in (found.up, found.attention))
    return up, attention, [sheet.fill(line.wording) for line in recommend(sheet.facts)]


@pytest.mark.covers("CL-24", "CL-32")
def test_figures_are_compared_with_the_week_before() -> None:
    figures = replace(
        QUIET,
        new_contacts=Series([35, *[25] * 7]),
        new_deals=Series([2, *[10] * 7]),
        stages=[Stage("id", "Proposal", 3, END - timedelta(days=5))],
        stale_deals=2,
    )
    up, attention, recommended = said(figures)
    assert up == ["New contacts: +40% (35 today vs 25 average)"]
    assert attention == [
        "New deals: -80% (2 today vs 10 average)",
        "Deals in Proposal stage: no movement in 5 days (3 deals open)",
        "2 deals are inactive",
    ]
    assert recommended[0] == "Follow up on stalled deals in the Proposal stage"
    assert len(recommended) == 4


@pytest.mark.parametrize(
    ("counts", "up", "attention"),
    [
        ([0] * 8, [], []),
        ([1, *[0] * 7], [], []),
        ([2, *[0] * 7], ["New contacts: 2 today vs 0 average"], []),
        ([11, *[10] * 7], [], []),
        ([8, *[10] * 7], [], ["New contacts: -20% (8 today vs 10 average)"]),
        ([0, *[2] * 7], [], ["New contacts: -100% (0 today vs 2 average)"]),
        ([60, *[10] * 7], ["New contacts: +500% (60 today vs 10 average, far from the usual)"], []),
        ([5, 1, 2, 3, 0, 1, 2, 1], ["New contacts: +250% (5 today vs 1.4 average)"], []),
    ],
)
def test_trends_and_anomalies(counts: list[int], up: list[str], attention: list[str]) -> None:
    assert said(replace(QUIET, new_contacts=Series(counts)))[:2] == (up, attention)


def test_what_varies_much_is_no_anomaly() -> None:
    assert not is_anomaly(Series([60, 10, 90, 5, 70, 20, 80, 0]))
    assert is_anomaly(Series([60, 10, 10, 11, 9, 10, 10, 10]))


def test_rates_are_told_of_when_enough_mails_were_sent() -> None:
    sent, opened = Series([100] * 8), Series([40, *[25] * 7])
    up, _, recommended = said(replace(QUIET, emails_sent=sent, emails_opened=opened))
    assert up == ["E-mail open rate: +15 points (40% today vs 25% average)"]
    assert recommended == ["Use the subject lines of the last campaign again"]
    few = replace(QUIET, emails_sent=Series([10] * 8), emails_opened=Series([9, *[0] * 7]))
    assert said(few)[0] == []
    often = replace(QUIET, emails_sent=sent, emails_opened=Series([140, *[25] * 7]))
    assert said(often)[0] == [], "mails that are opened several times make no rate"


PEOPLE: list[dict[str, Any]] = [
    {"user_id": "1", "name": "Ada", "activities": 12, "average": 7.3},
    {"user_id": "2", "name": None, "activities": 3, "average": 0.0},
]


@pytest.mark.parametrize(
    ("people", "shown"),
    [
        (PEOPLE, ["Most active: Ada with 12 activities (average 7.3)"]),
        (PEOPLE[:1], []),
        ([{**one, "activities": 2} for one in PEOPLE], []),
        (PEOPLE[::-1], []),
    ],
)
def test_who_stands_out(people: list[dict[str, Any]], shown: list[str]) -> None:
    sheet = FactSheet()
    add_performer(replace(QUIET, performers=people), sheet, "id")
    assert [sheet.fill(fact.wording) for fact in sheet.facts] == shown


def test_the_message_ends_with_the_figures() -> None:
    metrics: dict[str, Any] = {**QUIET.metrics, "new_contacts": 1, "emails_sent": 1200, "top_performers": PEOPLE}
    insight: dict[str, Any] = {
        "trending_up": ["a"],
        "needs_attention": [],
        "recommendations": ["b"],
        "metrics": metrics,
    }
    assert daily_insight.title("2026-01-10") == "Daily Insights - Jan 10, 2026"
    assert daily_insight.body(insight) == (
        "Trending up:\n- a\nRecommendations:\n- b\n"
        "Last 24 hours: 1 new contact, 0 new deals, 0 stage changes, 1,200 e-mails sent; most active: Ada (12)."
    )
    assert daily_insight.body({**insight, "trending_up": [], "recommendations": []}).startswith("A day like the ones")


def test_a_day_on_which_nothing_happened() -> None:
    assert QUIET.is_quiet
    assert said(QUIET) == ([], [], [])
    assert not replace(QUIET, stale_deals=1).is_quiet
    assert QUIET.metrics == {
        "new_contacts": 0,
        "new_deals": 0,
        "stage_changes": 0,
        "emails_sent": 0,
        "emails_opened": 0,
        "emails_clicked": 0,
        "top_performers": [],
    }


@pytest.mark.covers("CL-24")
@pytest.mark.parametrize(
    ("slot", "zone", "end"),
    [
        ("2026-03-07", "America/New_York", datetime(2026, 3, 7, 13, tzinfo=UTC)),
        ("2026-03-08", "America/New_York", datetime(2026, 3, 8, 12, tzinfo=UTC)),
        ("2026-11-01", "America/New_York", datetime(2026, 11, 1, 13, tzinfo=UTC)),
        ("2026-10-25", "Europe/Berlin", datetime(2026, 10, 25, 7, tzinfo=UTC)),
        ("2026-03-02", "Asia/Kolkata", datetime(2026, 3, 2, 2, 30, tzinfo=UTC)),
        ("once:x", "Pacific/Auckland", datetime(2026, 5, 4, 18, tzinfo=UTC)),
    ],
)
def test_the_window_ends_at_eight_of_the_accounts_day(slot: str, zone: str, end: datetime) -> None:
    now = datetime(2026, 5, 4, 18, tzinfo=UTC)
    work = JobWork(cast("Any", None), {}, {}, ZoneInfo(zone), slot, now, 0.0)
    day = "2026-05-05" if slot.startswith("once") else slot
    assert daily_insight.window(work) == (day, end)
