"""What is to be done about deals and their alerts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.jobs.stale.standing import Standing, is_open
from pipeline_engine.repos.deal_alerts import is_snoozed

ACTIVITY, CLOSED_DEAL, GONE = "activity", "the deal is closed", "the deal does not exist any more"

Document = Mapping[str, Any]
Judge = Callable[[Document], Standing]


@dataclass
class Decisions:
    """Of a page of alerts: which close and why, and which have become alerts of deals at risk."""

    close: dict[str, list[Document]] = field(default_factory=dict)
    """{reason: alerts}"""
    escalate: list[Document] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many alerts change."""
        return sum(map(len, self.close.values())) + len(self.escalate)


def review(alerts: Sequence[Document], deals: Mapping[str, Document], standing_of: Judge, now: datetime) -> Decisions:
    """Decide about open alerts, given their deals as they are now."""
    decisions = Decisions()
    for alert in alerts:
        deal = deals.get(str(alert.get("deal_id")))
        if deal is None or not is_open(deal):
            decisions.close.setdefault(GONE if deal is None else CLOSED_DEAL, []).append(alert)
            continue
        found = standing_of(deal)
        if found.state == "fresh" or _is_of_earlier_silence(alert, found):
            decisions.close.setdefault(ACTIVITY, []).append(alert)
        elif found.state == "critical" and not alert.get("at_risk") and not is_snoozed(alert, now):
            decisions.escalate.append(alert)
    return decisions


def _is_of_earlier_silence(alert: Document, found: Standing) -> bool:
    """Whether something has happened since the alert, though long ago: a call that was logged late, a mailbox that was
    connected. The deal then gets another alert."""
    since = usable_date(alert.get("stale_since"))
    return since is not None and found.since > since
