"""The figures of an account's day. Pure, but for the questions to MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import sqrt
from typing import Any

from pipeline_engine.domain.jobs.crm_job import JobWork
from pipeline_engine.repos.account_figures import (
    CLICKED,
    CLICKED_EVENT,
    DAYS,
    OPENED,
    OPENED_EVENT,
    SENT,
    Counts,
    total,
)

MAX_PERFORMERS = 3


@dataclass(frozen=True)
class Series:
    """A figure of the last day, and of each of the seven days before."""

    counts: Sequence[float]

    @property
    def today(self) -> float:
        return self.counts[0]

    @property
    def mean(self) -> float:
        """The mean of the seven days before the last."""
        return sum(self.counts[1:]) / (DAYS - 1)

    @property
    def spread(self) -> float:
        """The standard deviation of the seven days before the last."""
        return sqrt(sum((count - self.mean) ** 2 for count in self.counts[1:]) / (DAYS - 1))


@dataclass(frozen=True)
class Stage:
    """A stage with open deals, and when the last deal came into it."""

    id: Any
    name: Any
    deals: int
    newest: datetime


@dataclass(frozen=True)
class Figures:
    """All figures of a day that ends at `end`."""

    end: datetime
    new_contacts: Series
    new_deals: Series
    stage_changes: Series
    emails_sent: Series
    emails_opened: Series
    emails_clicked: Series
    performers: Sequence[Mapping[str, Any]] = ()
    """`{user_id, name, activities, average}`, the most active first; the average is that of the seven days before."""
    stages: Sequence[Stage] = field(default_factory=tuple)
    stale_deals: int = 0

    @property
    def metrics(self) -> dict[str, Any]:
        """As they are stored."""
        names = ("new_contacts", "new_deals", "stage_changes", "emails_sent", "emails_opened", "emails_clicked")
        counts = {name: int(getattr(self, name).today) for name in names}
        return {**counts, "top_performers": [dict(one) for one in self.performers]}

    @property
    def is_quiet(self) -> bool:
        """Whether nothing at all happened on the last day and in the week before."""
        series = (self.new_contacts, self.new_deals, self.stage_changes, self.emails_sent, self.emails_opened)
        return not any(any(one.counts) for one in series) and not self.performers and not self.stale_deals


async def read_figures(work: JobWork, end: datetime) -> Figures:
    """Count what happened in the account until `end`."""
    repo, account_id = work.app.repos.account_figures, work.account_id
    events, mails = await repo.events(account_id, end), await repo.mails(account_id, end)
    return Figures(
        end=end,
        new_contacts=Series(await repo.new_contacts(account_id, end)),
        new_deals=Series(await repo.new_deals(account_id, end)),
        stage_changes=Series(total(events, ["deal.stage_changed"])),
        emails_sent=Series(total(mails, [*SENT, "email"])),
        emails_opened=Series(_either(total(mails, OPENED), total(events, [OPENED_EVENT]))),
        emails_clicked=Series(_either(total(mails, CLICKED), total(events, [CLICKED_EVENT]))),
        performers=await _performers(work, end),
        stages=await _stages(work),
        stale_deals=await work.app.repos.deal_alerts.count_open(account_id),
    )


def _either(activities: Counts, events: Counts) -> Counts:
    """The greater number of each day: the CRM may record an opening as an activity, as an event, or as both."""
    return [max(pair) for pair in zip(activities, events, strict=True)]


async def _performers(work: JobWork, end: datetime) -> list[dict[str, Any]]:
    found = await work.app.repos.account_figures.performers(work.account_id, end, MAX_PERFORMERS)
    names = await work.app.repos.sales_records.user_names(work.account_id, [one["_id"] for one in found])
    return [
        {
            "user_id": one["_id"],
            "name": names.get(one["_id"]),
            "activities": one["n"],
            "average": round(one["before"] / (DAYS - 1), 1),
        }
        for one in found
    ]


async def _stages(work: JobWork) -> list[Stage]:
    found = await work.app.repos.account_figures.stages(work.account_id)
    names = await work.app.repos.sales_records.stage_names(work.account_id, [one["_id"] for one in found])
    known = [(one, name) for one in found if (name := names.get(str(one["_id"])))]
    return [Stage(one["_id"], name, one["n"], one["newest"]) for one, name in known]
