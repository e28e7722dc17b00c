"""Alerts users of open deals on which nothing has happened, and admins of those that are at risk.

Each stale deal has one open notification and one task, which end by themselves when something happens. A slot first
reviews the open alerts, then looks for deals without one, then sends digests. Its cursor says how far it has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.jobs.stale import alerts
from pipeline_engine.domain.jobs.stale.alerts import Document, Team
from pipeline_engine.domain.jobs.stale.digest import escalate, send_digests
from pipeline_engine.domain.jobs.stale.review import GONE, Decisions, Judge, review
from pipeline_engine.domain.jobs.stale.standing import Standing, Thresholds, standing
from pipeline_engine.repos.deal_alerts import KIND
from pipeline_engine.repos.id_pages import FIRST_TEXT

PAGE = 500
REVIEW, LOOK, SEND = "review", "look", "send"


@dataclass(frozen=True)
class Scope:
    """A slice, and what holds for all deals of the account."""

    work: JobWork
    limits: Thresholds
    team: Team

    async def judge(self, deals: Sequence[Document]) -> Judge:
        """How to judge these deals: by the last touches of them and of their contacts."""
        records, account_id = self.work.app.repos.sales_records, self.work.account_id
        contacts = [deal["contact_id"] for deal in deals if deal.get("contact_id")]
        of_deals = await records.last_touches(account_id, "deal_id", [deal["_id"] for deal in deals])
        of_contacts = await records.last_touches(account_id, "contact_id", contacts)
        return lambda deal: standing(deal, of_deals, of_contacts, self.limits, self.work.now)

    def alert(self, deal: Document, found: Standing) -> Document:
        """The notification of a stale deal."""
        text, receiver = alerts.body(deal, found, self.work.zone), self.team.receiver(deal)
        alert = alerts.notification(self.work.account_id, deal, found, self.limits, receiver, text)
        return {**alert, "slot": self.work.slot}


async def run(work: JobWork) -> JobResult:
    scope = Scope(work, Thresholds.of(work.profile), await team_of(work))
    phase, after, done = work.cursor.get("phase", REVIEW), work.cursor.get("after"), 0
    while phase != SEND:
        if work.is_over:
            return JobResult(done, more=True, cursor={"phase": phase, "after": after})
        page = await (_review if phase == REVIEW else _look)(scope, after)
        done += page.done
        after = page.last
        if page.last is None:
            phase = LOOK if phase == REVIEW else SEND
    await escalate(work, scope.team)
    await send_digests(work)
    return JobResult(done)


async def team_of(work: JobWork) -> Team:
    """The active users and admins of the account."""
    active = await work.app.shared.users.active_ids(work.account_id)
    admins = await work.app.shared.users.admins(work.account_id)
    return Team(frozenset(active), admins)


@dataclass(frozen=True)
class PageResult:
    """How many deals of a page something was done about, and the last id; None behind the last page."""

    done: int
    last: Any


async def _review(scope: Scope, after: Any) -> PageResult:
    repos, account_id = scope.work.app.repos, scope.work.account_id
    found = await scope.work.app.shared.notifications.find_open(account_id, KIND, after=after, limit=PAGE)
    deals = await repos.sales_records.deals(account_id, [one.get("deal_id") for one in found])
    decisions = review(found, deals, await scope.judge([*deals.values()]), scope.work.now)
    scope.work.check()
    await _carry_out(scope, decisions)
    return PageResult(decisions.done, found[-1]["_id"] if len(found) == PAGE else None)


async def _carry_out(scope: Scope, decisions: Decisions) -> None:
    """Change tags and tasks first and notifications last, as a notification says that the rest is done."""
    repos, account_id = scope.work.app.repos, scope.work.account_id
    for reason, closing in decisions.close.items():
        if reason != GONE:
            await repos.deal_alerts.untag(account_id, [one for one in closing if one.get("at_risk")])
        tasks = [one["task_id"] for one in closing if one.get("task_id")]
        await repos.deal_alerts.end_tasks(account_id, tasks, reason)
        await scope.work.app.shared.notifications.close(account_id, [one["_id"] for one in closing], reason)
    await repos.deal_alerts.tag(account_id, decisions.escalate)
    await repos.deal_alerts.mark_at_risk(account_id, [one["_id"] for one in decisions.escalate])


async def _look(scope: Scope, after: Any) -> PageResult:
    work, account_id, repos = scope.work, scope.work.account_id, scope.work.app.repos
    deals = await repos.sales_records.open_deals_after(account_id, FIRST_TEXT if after is None else after, PAGE)
    alerted = await repos.deal_alerts.alerted(account_id, [deal["_id"] for deal in deals])
    unalerted = [deal for deal in deals if str(deal["_id"]) not in alerted]
    judge = await scope.judge(unalerted)
    standings = [(deal, judge(deal)) for deal in unalerted]
    await _untag_revived(scope, [deal for deal, found in standings if found.state == "fresh"])
    stale = [scope.alert(deal, found) for deal, found in standings if found.state != "fresh"]
    # An alert that a user has closed stays closed for this silence, but is escalated when its time comes.
    known = await repos.deal_alerts.known(account_id, [one["_id"] for one in stale])
    new = [one for one in stale if one["_id"] not in known]
    at_risk = [one for one in stale if one.get("at_risk")]
    work.check()
    await repos.deal_alerts.add_tasks([alerts.task(account_id, one, work.now) for one in new])
    await repos.deal_alerts.tag(account_id, at_risk)
    await work.app.shared.notifications.open(new)
    await repos.deal_alerts.mark_at_risk(account_id, [one["_id"] for one in at_risk])
    # A short page is not the last: behind those with texts as ids come those with ObjectIds.
    return PageResult(len(new), deals[-1]["_id"] if deals else None)


async def _untag_revived(scope: Scope, fresh: Sequence[Document]) -> None:
    """Take the tag off deals whose alert a user has closed, so that no open alert does it."""
    marks = [(deal, deal["at_risk"].get("alert")) for deal in fresh if isinstance(deal.get("at_risk"), dict)]
    alerts_of_deals = [{"_id": alert, "deal_id": deal["_id"]} for deal, alert in marks if alert]
    await scope.work.app.repos.deal_alerts.untag(scope.work.account_id, alerts_of_deals)


JOB = CrmJob("crm.stale_deals", DailyAt(time(9, 0)), run, part_of="crm.proactive_ai")
