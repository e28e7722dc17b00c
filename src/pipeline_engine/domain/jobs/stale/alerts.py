"""The alert of one stale deal: its notification and its task, as they are stored. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bson import ObjectId

from pipeline_engine.domain.jobs.stale.standing import Standing, Thresholds
from pipeline_engine.domain.jobs.writing.display import count, one_line
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.deal_alerts import KIND

TASK_TITLE = "Follow up on stale deal"
TASK_DUE = timedelta(days=1)
NAMES_OF_TOUCHES = {"call": "call", "meeting": "meeting", "note": "note", "created": "its creation"}
Document = dict[str, Any]


@dataclass(frozen=True)
class Team:
    """Who is notified: active users, and the admins among them, in order of user id."""

    active: Collection[str]
    admins: Sequence[Any]

    def receiver(self, deal: Mapping[str, Any]) -> Any:
        """The deal's owner, else who created it; the first admin in place of a user who is not active."""
        user = deal.get("owner") or deal.get("created_by")
        user = user if isinstance(user, ObjectId | str) else None
        if user is not None and (not self.active or str(user) in self.active):
            return object_id(user) or user
        return self.admins[0] if self.admins else user


def alert_id(account_id: ObjectId, deal: Mapping[str, Any], standing: Standing) -> ObjectId:
    """The id of the deal's notification, which is the same for as long as nothing happens on the deal."""
    return derived_id(KIND, account_id, deal["_id"], standing.since)


def notification(
    account_id: ObjectId, deal: Mapping[str, Any], standing: Standing, limits: Thresholds, user: Any, text: str
) -> Document:
    """The open notification of a deal, for a user, with this text as its body."""
    id = alert_id(account_id, deal, standing)
    at_risk = {"at_risk": True, "escalation_due": True} if standing.state == "critical" else {}
    return {
        "_id": id,
        "account_id": account_id,
        "user_id": user,
        "kind": KIND,
        "title": f"Deal inactive for {count_of_days(limits.stale)}",
        "body": text,
        "deal_id": deal["_id"],
        "task_id": task_id(id),
        "stale_since": standing.since,
        **at_risk,
    }


def task(account_id: ObjectId, alert: Mapping[str, Any], now: datetime) -> Document:
    """The task that goes with the notification."""
    return {
        "_id": alert["task_id"],
        "account_id": account_id,
        "title": TASK_TITLE,
        "description": alert["body"],
        "due_at": now + TASK_DUE,
        "assigned_to": alert["user_id"],
        "deal_id": alert["deal_id"],
        "source": "stale_deals",
        "status": "open",
        "createdAt": now,
        "updatedAt": now,
    }


def task_id(alert_id: ObjectId) -> ObjectId:
    return derived_id("stale_deal_task", alert_id)


def body(deal: Mapping[str, Any], standing: Standing, zone: ZoneInfo) -> str:
    """`Acme renewal: nothing since 2026-01-03 (call).` It stays true however long the alert is open. The date is local
    to the account."""
    name = one_line(deal.get("name")) or "A deal without a name"
    since = standing.since.astimezone(zone)
    return f"{name}: nothing since {since:%Y-%m-%d} ({NAMES_OF_TOUCHES.get(standing.last, 'e-mail')})."


def count_of_days(days: float) -> str:
    return count(int(days), "day") if days == int(days) else f"{days:g} days"


def listing(bodies: Sequence[str], total: int) -> str:
    """The first lines of a list, and how many more there are."""
    more = total - len(bodies)
    return "\n".join([*bodies, *([f"and {more:,} more"] if more > 0 else [])])
