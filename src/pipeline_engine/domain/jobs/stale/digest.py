"""Messages about stale deals: one digest per user, and one per admin about deals at risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.jobs.crm_job import JobWork
from pipeline_engine.domain.jobs.stale.alerts import Document, Team, listing
from pipeline_engine.domain.jobs.writing.display import count
from pipeline_engine.ids import derived_id

DIGEST, ESCALATION = "stale_deals_digest", "deals_at_risk"
MAX_LISTED = 10
REPLACED, NOTHING_LEFT = "replaced by a newer digest", "no deal is stale any more"


async def send_digests(work: JobWork) -> int:
    """Send each user with new alerts one digest, in place of the one before. Returns how many users have one."""
    users = await work.app.repos.deal_alerts.by_user(work.account_id, work.slot)
    digests = [await _digest(work, one) for one in users if one["new"] and one["_id"] is not None]
    work.check()
    await work.app.shared.notifications.open(digests)
    await _close_older(work, digests, {str(one["_id"]) for one in users})
    return len(digests)


async def _digest(work: JobWork, user: Mapping[str, Any]) -> Document:
    first = await work.app.repos.deal_alerts.longest_of(work.account_id, user["_id"], MAX_LISTED)
    new = f", {user['new']:,} of them new" if user["new"] < user["total"] else ""
    return {
        "_id": derived_id(DIGEST, work.account_id, user["_id"], work.slot),
        "account_id": work.account_id,
        "user_id": user["_id"],
        "kind": DIGEST,
        "title": f"{count(user['total'], 'deal is', 'deals are')} inactive{new}",
        "body": listing([str(one.get("body")) for one in first], user["total"]),
    }


async def _close_older(work: JobWork, digests: Sequence[Document], users: set[str]) -> None:
    """Close digests that a newer one replaces, and those of users all of whose deals have come to life again."""
    notifications = work.app.shared.notifications
    new = {one["_id"]: str(one["user_id"]) for one in digests}
    found = [one for one in await notifications.find_open(work.account_id, DIGEST) if one["_id"] not in new]
    replaced = [one["_id"] for one in found if str(one.get("user_id")) in new.values()]
    await notifications.close(work.account_id, replaced, REPLACED)
    done = [one["_id"] for one in found if str(one.get("user_id")) not in users]
    await notifications.close(work.account_id, done, NOTHING_LEFT)


async def escalate(work: JobWork, team: Team) -> int:
    """Notify every admin of the deals that have come to be at risk, each deal once. Returns how many deals."""
    alerts = work.app.repos.deal_alerts
    escalations = await alerts.begin_escalation(work.account_id)
    for id, deals in escalations.items():
        work.check()
        await work.app.shared.notifications.open([_escalation(work, id, deals, admin) for admin in team.admins])
        await alerts.end_escalation(work.account_id, id)
    return sum(map(len, escalations.values()))


def _escalation(work: JobWork, id: ObjectId, alerts: Sequence[Mapping[str, Any]], admin: Any) -> Document:
    bodies = [str(one.get("body")) for one in alerts[:MAX_LISTED]]
    only = {"deal_id": alerts[0]["deal_id"]} if len(alerts) == 1 else {}
    return {
        "_id": derived_id(ESCALATION, work.account_id, id, admin),
        "account_id": work.account_id,
        "user_id": admin,
        "kind": ESCALATION,
        "title": f"{count(len(alerts), 'deal')} at risk",
        "body": listing(bodies, len(alerts)),
        "deal_ids": [one["deal_id"] for one in alerts[:1000]],
        **only,
    }
