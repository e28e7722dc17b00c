"""An endpoint's health: how long it rests after failures in a row, and when they disable it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.providers.webhooks import Reply

GONE = 410
DISABLING = timedelta(days=5)
MIN_DISABLING_FAILURES = 10
"""So few failures do not disable an endpoint that is seldom used, however far they lie apart."""
FREE_FAILURES = 3
"""Failures in a row after which an endpoint rests."""
MAX_FAILURES = 1_000_000
"""More are not counted: MongoDB stores no number of any size."""
MAX_REST_SECONDS = 60.0
"""The longest rest. It is no attempt: what becomes due meanwhile waits for its end."""


@dataclass(frozen=True)
class Health:
    """The replies since the last one that was accepted."""

    failures: int = 0
    failing_since: datetime | None = None
    rest_until: datetime | None = None

    @classmethod
    def of(cls, webhook: Mapping[str, Any]) -> Health:
        failures = min(int(webhook.get("failures") or 0), MAX_FAILURES)
        return cls(failures, webhook.get("failing_since"), webhook.get("rest_until"))

    def rests(self, now: datetime) -> bool:
        """Whether no attempt may be made now."""
        return self.rest_until is not None and self.rest_until > now

    def after(self, reply: Reply, now: datetime) -> Health:
        """The health after one more reply."""
        if reply.error is None:
            return Health()
        failures = self.failures + 1
        rest = max(reply.retry_after, _rest(failures))
        until = now + timedelta(seconds=rest) if rest else None
        return Health(failures, self.failing_since or now, max(filter(None, (until, self.rest_until)), default=None))

    def disabling(self, reply: Reply, now: datetime) -> str | None:
        """Why the endpoint is to be disabled after this reply, if it is; `self` includes the reply."""
        if reply.status == GONE:
            return "the endpoint answered 410 Gone"
        is_long = self.failing_since is not None and now - self.failing_since >= DISABLING
        if is_long and self.failures >= MIN_DISABLING_FAILURES:
            return f"every delivery has failed for {DISABLING.days} days; the last one: {reply.error}"
        return None


def _rest(failures: int) -> float:
    if failures < FREE_FAILURES:
        return 0.0
    return float(min(MAX_REST_SECONDS, 5.0 * 2 ** min(failures - FREE_FAILURES, 10)))
