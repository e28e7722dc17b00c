"""Reads a document of `webhooks`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.filters import Filter, read_filter
from pipeline_engine.domain.messages.limits import NO_LIMIT
from pipeline_engine.domain.stored_number import stored_number
from pipeline_engine.domain.webhooks.signature import read_secret
from pipeline_engine.errors import Permanent

EVERYTHING = "*"


@dataclass(frozen=True)
class Subscription:
    """Which events an endpoint wants."""

    webhook: Mapping[str, Any]
    types: frozenset[str]
    filter: Filter

    def wants(self, type: str) -> bool:
        """Whether it wants events of the type, as far as the type decides: it names the type, `*`, or the first part
        as in `deal.*`."""
        family = type.partition(".")[0]
        return not self.types.isdisjoint({type, EVERYTHING, f"{family}.{EVERYTHING}"})


def read_subscription(webhook: Mapping[str, Any]) -> Subscription:
    """What the endpoint wants. Raises: Permanent `events`, `filter` or `rate_per_minute`, which says what is wrong."""
    events = webhook.get("events")
    if not isinstance(events, list) or not all(isinstance(one, str) for one in events):
        raise Permanent("events: a list of event types is wanted", "events")
    rate_of(webhook)
    return Subscription(webhook, frozenset(events), read_filter(webhook.get("filter")))


def is_active(webhook: Mapping[str, Any]) -> bool:
    """Whether the endpoint is switched on."""
    return webhook.get("active") is not False


def signing_keys(webhook: Mapping[str, Any], now: datetime) -> Sequence[bytes]:
    """The keys that sign a message now: the secret's, and the one before it while it counts, if it can be read.

    Raises: Permanent `secret`.
    """
    keys = [read_secret(webhook.get("secret"))]
    until = usable_date(webhook.get("previous_until"))
    if until and until > now:
        with suppress(Permanent):
            keys.append(read_secret(webhook.get("previous_secret")))
    return keys


def rate_of(webhook: Mapping[str, Any]) -> int | None:
    """How many deliveries per minute the endpoint accepts; None: any number. Raises: Permanent `rate_per_minute`."""
    given = webhook.get("rate_per_minute")
    if given is None or given == "":
        return None
    rate = stored_number(given)
    if rate is None or rate < 0:
        raise Permanent("rate_per_minute: a number is wanted, or 0 for any number", "rate_per_minute")
    return max(1, int(rate)) if 0 < rate < NO_LIMIT else None
