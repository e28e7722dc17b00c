"""Writes the insight of the account's last 24 hours and notifies its admins."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.insights.figures import read_figures
from pipeline_engine.domain.jobs.insights.insight import write_insight
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.jobs.slot_id import ONCE
from pipeline_engine.domain.jobs.writing.display import count, one_line
from pipeline_engine.domain.jobs.writing.model import Model
from pipeline_engine.ids import derived_id

KIND = "daily_insight"
SCHEDULE = DailyAt(time(8, 0))
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


async def run(work: JobWork) -> JobResult:
    day, end = window(work)
    figures = await read_figures(work, end)
    id = derived_id(KIND, work.account_id, day)
    insight = await write_insight(figures, id, Model.of(work))
    work.check()
    await work.app.repos.account_figures.store_insight(id, work.account_id, day, {**insight, "createdAt": work.now})
    if not figures.is_quiet:
        await _notify(work, day, id, insight)
    return JobResult(1)


def window(work: JobWork) -> tuple[str, datetime]:
    """The day of the insight, and the end of its 24 hours: the slot's start, so that a repeat counts the same. What an
    operator asks for is about the 24 hours until now."""
    if work.slot.startswith(ONCE):
        return work.now.astimezone(work.zone).date().isoformat(), work.now
    return work.slot, SCHEDULE.start(work.slot, work.zone)


async def _notify(work: JobWork, day: str, id: ObjectId, insight: Mapping[str, Any]) -> None:
    admins = await work.app.shared.users.admins(work.account_id)
    text = {"title": title(day), "body": body(insight), "insight_id": id}
    await work.app.shared.notifications.open(
        [
            {
                "_id": derived_id(KIND, id, admin),
                "account_id": work.account_id,
                "user_id": admin,
                "kind": KIND,
                **text,
            }
            for admin in admins
        ]
    )


def title(day: str) -> str:
    """`Daily Insights - Jan 10, 2026`."""
    found = date.fromisoformat(day)
    return f"Daily Insights - {MONTHS[found.month - 1]} {found.day}, {found.year}"


def body(insight: Mapping[str, Any]) -> str:
    """The insight as text: what has changed and what to do, then the figures."""
    parts = {
        "Trending up": insight["trending_up"],
        "Needs attention": insight["needs_attention"],
        "Recommendations": insight["recommendations"],
    }
    shown = ["\n".join([f"{name}:", *(f"- {line}" for line in lines)]) for name, lines in parts.items() if lines]
    return "\n".join([*(shown or ["A day like the ones before."]), _figures(insight["metrics"])])


def _figures(metrics: Mapping[str, Any]) -> str:
    """`Last 24 hours: 5 new contacts, 1 new deal, 3 stage changes, 40 e-mails sent; most active: Ada (12).`"""
    names = ("new contact", "new deal", "stage change", "e-mail")
    keys = ("new_contacts", "new_deals", "stage_changes", "emails_sent")
    counts = ", ".join(count(metrics[key], name) for key, name in zip(keys, names, strict=True))
    people = [(one_line(one.get("name")), one["activities"]) for one in metrics["top_performers"]]
    active = ", ".join(f"{name} ({done})" for name, done in people if name)
    return f"Last 24 hours: {counts} sent{f'; most active: {active}' if active else ''}."


JOB = CrmJob("crm.daily_insight", SCHEDULE, run, part_of="crm.proactive_ai")
