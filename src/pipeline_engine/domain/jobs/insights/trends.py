"""What is worth saying about a day's figures: changes against the week before, and what stands still. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import sqrt
from typing import Any

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.jobs.insights.figures import Figures, Series
from pipeline_engine.domain.jobs.writing.display import amount, count
from pipeline_engine.domain.jobs.writing.fact_sheet import Fact, FactSheet

MIN_CHANGE, MIN_DIFFERENCE = 0.15, 2.0
"""A figure has changed when it differs from its mean by this share and by this number."""
MIN_RATE_CHANGE, MIN_MAILS = 0.05, 20
"""A rate has changed when it differs by five points of a hundred, of so many mails on the day and in the week."""
UNUSUAL = 3.0
"""A change of more than so many standard deviations is an anomaly."""
STALLED = timedelta(days=5)
MAX_STALLED = 3
COUNTED = {
    "new_contacts": "New contacts",
    "new_deals": "New deals",
    "stage_changes": "Stage changes",
    "emails_sent": "E-mails sent",
}


@dataclass(frozen=True)
class Findings:
    """Facts of the day: what has grown, and what needs attention."""

    up: list[Fact]
    attention: list[Fact]


def find_trends(figures: Figures, sheet: FactSheet, insight_id: Any) -> Findings:
    """Add what is worth saying to the sheet."""
    up: list[Fact] = []
    attention: list[Fact] = []
    for name, label, series, least, is_rate in _series(figures):
        change = _change(series, least, is_rate)
        if change:
            word = _wording(label, series, is_rate)
            fact = sheet.add(f"{name}_{'up' if change > 0 else 'down'}", word, "agent_insights", insight_id)
            (up if change > 0 else attention).append(fact)
    return Findings(up, [*attention, *_standing_still(figures, sheet, insight_id)])


def _series(figures: Figures) -> Iterator[tuple[str, str, Series, float, bool]]:
    """(name, label, figures, least difference, whether it is a rate)"""
    for name, label in COUNTED.items():
        yield name, label, getattr(figures, name), MIN_DIFFERENCE, False
    for name, label, part in (
        ("open_rate", "E-mail open rate", figures.emails_opened),
        ("click_rate", "E-mail click rate", figures.emails_clicked),
    ):
        sent = figures.emails_sent
        if sent.today >= MIN_MAILS and sum(sent.counts[1:]) >= MIN_MAILS:
            mean = sum(part.counts[1:]) / sum(sent.counts[1:])
            if part.today > sent.today or mean > 1:  # openings of older mails, or of one mail several times: no rate
                continue
            yield name, label, Series([part.today / sent.today, *[mean] * 7]), MIN_RATE_CHANGE, True


def _change(series: Series, least: float, is_rate: bool) -> int:
    """1 for a rise, -1 for a fall, 0 for neither."""
    difference = series.today - series.mean
    if abs(difference) < least or (not is_rate and abs(difference) < MIN_CHANGE * series.mean):
        return 0
    return 1 if difference > 0 else -1


def _wording(label: str, series: Series, is_rate: bool) -> str:
    """`New contacts: +40% (35 today vs 25 average)`"""
    if is_rate:
        points = round(100 * (series.today - series.mean))
        return f"{label}: {points:+d} points ({100 * series.today:.0f}% today vs {100 * series.mean:.0f}% average)"
    compared = f"{amount(series.today)} today vs {mean_text(series.mean)} average"
    if not series.mean:
        return f"{label}: {compared}"
    unusual = ", far from the usual" if is_anomaly(series) else ""
    return f"{label}: {round(100 * (series.today / series.mean - 1)):+d}% ({compared}{unusual})"


def mean_text(mean: float) -> str:
    """`1.4`, `25`, `1,240`."""
    return f"{mean:.1f}".removesuffix(".0") if mean < 100 else f"{mean:,.0f}"


def is_anomaly(series: Series) -> bool:
    """Whether the day is far outside of what the week before was like. Counts spread at least like their root."""
    return abs(series.today - series.mean) > UNUSUAL * max(series.spread, sqrt(series.mean), 1.0)


def _standing_still(figures: Figures, sheet: FactSheet, insight_id: Any) -> Iterator[Fact]:
    dated = [(stage, newest) for stage in figures.stages if (newest := usable_date(stage.newest))]
    stalled = [(stage, figures.end - newest) for stage, newest in dated if figures.end - newest >= STALLED]
    for stage, age in sorted(stalled, key=lambda pair: pair[1], reverse=True)[:MAX_STALLED]:
        name, deals = sheet.name("S", stage.name), count(stage.deals, "deal")
        wording = f"Deals in {name} stage: no movement in {count(age.days, 'day')} ({deals} open)"
        yield sheet.add("stalled_stage", wording, "pipeline_stages", stage.id)
    if figures.stale_deals:
        wording = f"{count(figures.stale_deals, 'deal is', 'deals are')} inactive"
        yield sheet.add("stale_deals", wording, "agent_insights", insight_id)
