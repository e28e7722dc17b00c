"""Holds messages until their send window opens, and gives up those that were held for too long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.messages.policy import Held
from pipeline_engine.domain.messages.send_result import GivenUp, HeldBack, SendResult
from pipeline_engine.repos.effects import Hold


async def hold(
    app: App,
    account_id: ObjectId,
    channel: str,
    units: Mapping[str, Held | None],
    known: Mapping[str, Mapping[str, Any]],
) -> dict[str, SendResult]:
    """Of {unit key: why it must wait, or None when it may go out} and the records in `effects`, the ends of those that
    do not go out now. Their records say why. Writes nothing when all may go out."""
    now, longest = app.clock.now(), timedelta(days=app.settings.message_max_hold_days)
    decided = {key: decide_hold(key, held, known.get(key), now, longest) for key, held in units.items()}
    holds = [one for one in decided.values() if one]
    if holds:
        await app.shared.effects.hold(account_id, channel, holds)
    return {one.key: _result(one, now) for one in holds}


def decide_hold(
    key: str, held: Held | None, record: Mapping[str, Any] | None, now: datetime, longest: timedelta
) -> Hold | None:
    """What becomes of a message: None when it goes out now. Pure.

    It waits for its moment in the opening, but no longer than `longest` in all; after that it is given up, also when
    the window is open by then: it was written for another day.
    """
    since = usable_date((record or {}).get("held_since")) or now
    if since + longest <= now:
        why = f"expired: it was held since {since:%Y-%m-%d %H:%M} UTC, for over {longest / timedelta(days=1):g} days"
        return Hold(key, record, since, None, why)
    if held is None:
        return None
    return Hold(key, record, since, min(held.due_at(key), since + longest), str(held))


def _result(hold: Hold, now: datetime) -> SendResult:
    attempts = int((hold.record or {}).get("attempts") or 0)
    if hold.until is None:
        return GivenUp(hold.why, attempts)
    return HeldBack(max(0.0, (hold.until - now).total_seconds()), hold.why, until=hold.until, attempts=attempts)
