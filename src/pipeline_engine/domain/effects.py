"""What leaves the house, once: the record stands before the effect, and every possible double is flagged.

`effects` {_id: unit key, state: planned → sending → sent | failed | unknown, attempts, ambiguous, provider_id}.
The attempt is committed before the call. A record found in `sending` belongs to a run that ended in mid-call: nobody
knows whether it went out, and the channel's policy decides (`resend`: again, flagged; `park`: a person decides).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent, RateLimited, Transient, Unknown

MOST_ATTEMPTS = 3
"""Calls to the provider over all crashes."""
AT_ONCE = 20
"""Units whose records are written together; a crash leaves at most so many unknown."""

Deliver = Callable[[str], Awaitable[str | None]]
"""Makes the call for a unit key; returns the provider's id. Raises: Permanent, Transient, RateLimited, Unknown."""


@dataclass(frozen=True)
class Delivered:
    """It is with the provider."""


@dataclass(frozen=True)
class NotYet:
    """It may be tried again; `attempts` calls were made so far."""

    error: str
    attempts: int
    after: float | None = None


@dataclass(frozen=True)
class GivenUp:
    """It will not be tried again by itself."""

    error: str
    attempts: int


Result = Delivered | NotYet | GivenUp


async def send_all(
    app: App, account_id: ObjectId, channel: str, units: Mapping[str, Deliver], places: int
) -> dict[str, Result]:
    """Send every unit that may be sent, at most `places` at a time. Returns what became of each."""
    results: dict[str, Result] = {}
    keys = list(units)
    for at in range(0, len(keys), AT_ONCE):
        some = {key: units[key] for key in keys[at : at + AT_ONCE]}
        results |= await _send_some(app, account_id, channel, some, places)
    return results


async def _send_some(
    app: App, account_id: ObjectId, channel: str, units: Mapping[str, Deliver], places: int
) -> dict[str, Result]:
    known = await app.effects.of(account_id, list(units))
    settled = {key: found for key in known if (found := _settled(known[key], _policy(app, channel))) is not None}
    begun = await app.effects.begin(account_id, channel, {key: known.get(key) for key in units if key not in settled})
    gate = asyncio.Semaphore(places)

    async def one(key: str, attempts: int) -> tuple[Result, dict[str, Any]]:
        async with gate:
            return await _attempt(units[key], key, attempts, _policy(app, channel))

    ended = await asyncio.gather(*(one(key, attempts) for key, attempts in begun.items()))
    await app.effects.end(account_id, {key: change for key, (_, change) in zip(begun, ended, strict=True)})
    return settled | {key: result for key, (result, _) in zip(begun, ended, strict=True)}


def _policy(app: App, channel: str) -> str:
    policies = {
        "email": app.settings.unknown_email,
        "sms": app.settings.unknown_sms,
        "crm_api": app.settings.unknown_crm_api,
    }
    return policies[channel]


def _settled(record: Mapping[str, Any], policy: str) -> Result | None:
    """What a record of an earlier run says, when nothing is to be sent any more."""
    attempts = record["attempts"]
    if record["state"] == "sent":
        return Delivered()
    if record["state"] == "failed":
        return GivenUp(record.get("error") or "failed before", attempts)
    if record["state"] in ("sending", "unknown") and policy == "park":
        return GivenUp("nobody knows whether it went out; it is not sent again by itself", attempts)
    if attempts >= MOST_ATTEMPTS:
        return GivenUp(record.get("error") or f"{MOST_ATTEMPTS} attempts without an answer", attempts)
    return None


async def _attempt(deliver: Deliver, key: str, attempts: int, policy: str) -> tuple[Result, dict[str, Any]]:
    """One call. Returns the result and what the record is to say."""
    try:
        provider_id = await deliver(key)
    except RateLimited as limit:
        # The provider did nothing, so it was no attempt.
        return NotYet(str(limit), attempts - 1, limit.retry_after), {"state": "planned", "attempts": attempts - 1}
    except Permanent as error:
        return GivenUp(str(error), attempts), {"state": "failed", "error": str(error)}
    except Transient as error:
        return _again(str(error), attempts), {"state": "planned", "error": str(error)}
    except (Unknown, TimeoutError) as error:
        record = {"state": "unknown", "ambiguous": True, "error": str(error)}
        if policy == "park":
            return GivenUp(f"nobody knows whether it went out: {error}", attempts), record
        return _again(str(error), attempts), record
    return Delivered(), {"state": "sent", "provider_id": provider_id, "error": None}


def _again(error: str, attempts: int) -> Result:
    return NotYet(error, attempts) if attempts < MOST_ATTEMPTS else GivenUp(error, attempts)


def failures(units: Sequence[str], error: str) -> dict[str, Result]:
    """None of these was sent, and none will be."""
    return {key: GivenUp(error, 0) for key in units}
