"""The time zone of an account."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from pipeline_engine import logs

UTC_ZONE = ZoneInfo("UTC")

log = logs.get(__name__)


def zone_of(profile: Mapping[str, Any], account: Mapping[str, Any]) -> ZoneInfo:
    """The zone that the business profile names, else the account, else UTC. An unknown name is logged once."""
    name = profile.get("timezone") or account.get("timezone")
    # `str`, because BSON code is a text too, and one that no cache takes.
    return named_zone(str(name)) if isinstance(name, str) else UTC_ZONE


@cache
def named_zone(name: str) -> ZoneInfo:
    """The zone of this name; UTC for a name that is none."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        log.warning("time_zone.unknown", timezone=name[:100], error=type(error).__name__, consequence="UTC is used")
        return UTC_ZONE
