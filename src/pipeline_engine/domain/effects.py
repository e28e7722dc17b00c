"""What leaves the house, once: the record stands before the effect, and every possible double is flagged.

`effects` {_id: unit key, state: planned → sending → sent | failed | unknown, attempts, doubts, ambiguous, provider_id}.
The attempt is committed before the call. A record found in `sending` belongs to a run that ended in mid-call: nobody
knows whether it went out, and the channel's policy decides (`resend`: again, flagged; `park`: a person decides).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import LeaseLost, Permanent, RateLimited, Transient, Unknown

MOST_ATTEMPTS = 3
"""Calls to the provider over all crashes."""
AT_ONCE, LINES = 10, 2
"""Units whose records are written together, and how many such groups are under way: a crash leaves at most all of these
unknown."""
MOST_DOUBTS = 2
"""Calls of which nobody knows whether they went out; a third would make a third copy possible."""
UNKNOWN = "nobody knows whether it went out; it is not sent again by itself"

Deliver = Callable[[str], Awaitable[str | None]]
"""Makes the call for a unit key; returns the provider's id. Raises: Permanent, Transient, RateLimited, Unknown."""
Still = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Which of these units are still to be sent: asked at the last moment."""


@dataclass(frozen=True)
class Delivered:
    """It is with the provider."""


@dataclass(frozen=True)
class NotYet:
    """It may be tried again; `attempts` calls were made so far."""

    error: str
    attempts: int


@dataclass(frozen=True)
class GivenUp:
    """It will not be tried again by itself."""

    error: str
    attempts: int


@dataclass(frozen=True)
class Limited:
    """It was not tried: a limit says, not before `after` seconds."""

    after: float


Result = Delivered | NotYet | GivenUp | Limited


async def send_all(
    app: App,
    account_id: ObjectId,
    channel: str,
    units: Mapping[str, Deliver],
    still: Still,
    places: int,
    until: float,
) -> dict[str, Result]:
    """Send every unit that may be sent, at most `places` at a time. Returns what became of each; those that are missing
    were not begun: they are not to be sent any more, or the time `until` (monotonic) came, or a limit. Some are begun
    in any case.

    Raises: LeaseLost when the lease may have run out.
    """
    known = await app.shared.effects.of(account_id, list(units))
    sending = _Sending(app, account_id, channel, units, still, known, asyncio.Semaphore(places))
    results = sending.settled()
    keys = [key for key in units if key not in results]
    groups = deque(keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE))
    sent = False

    async def line() -> None:
        nonlocal sent
        while groups and not (sent and (time.monotonic() >= until or _limited(results))):
            sent = True
            try:
                results.update(await sending.send(groups.popleft()))
            except BaseException:
                groups.clear()
                raise

    # While one line writes its records, the other one sends. When one breaks, the other ends what it has begun.
    for failure in filter(None, await asyncio.gather(*(line() for _ in range(LINES)), return_exceptions=True)):
        raise failure
    return results


def _limited(results: Mapping[str, Result]) -> bool:
    return any(isinstance(one, Limited) for one in results.values())


@dataclass(frozen=True)
class _Sending:
    app: App
    account_id: ObjectId
    channel: str
    units: Mapping[str, Deliver]
    still: Still
    known: Mapping[str, Mapping[str, Any]]
    """Records of earlier runs."""
    gate: asyncio.Semaphore

    def settled(self) -> dict[str, Result]:
        policy = _policy(self.app, self.channel)
        return {key: result for key, record in self.known.items() if (result := _settled(record, policy))}

    async def send(self, keys: Collection[str]) -> dict[str, Result]:
        """Some units together: re-check, record, call, record."""
        if not self.app.heartbeat.trusted:
            raise LeaseLost("the lease may have run out")
        effects, wanted = self.app.shared.effects, await self.still(keys)
        begun = await effects.begin(self.account_id, self.channel, {key: self.known.get(key) for key in wanted})
        ended = dict(zip(begun, await asyncio.gather(*(self._one(*unit) for unit in begun.items())), strict=True))
        await effects.end(self.account_id, {key: (begun[key], change) for key, (_, change) in ended.items()})
        return {key: result for key, (result, _) in ended.items()}

    async def _one(self, key: str, attempt: int) -> tuple[Result, dict[str, Any]]:
        async with self.gate:
            return await _attempt(self.units[key], key, attempt, _policy(self.app, self.channel))


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
    doubts = record.get("doubts", 0) + (record["state"] in ("sending", "unknown"))
    if doubts >= (MOST_DOUBTS if policy == "resend" else 1):
        return GivenUp(UNKNOWN, attempts)
    if attempts >= MOST_ATTEMPTS:
        return GivenUp(record.get("error") or f"{MOST_ATTEMPTS} attempts without an answer", attempts)
    return None


async def _attempt(deliver: Deliver, key: str, attempt: int, policy: str) -> tuple[Result, dict[str, Any]]:
    """One call. Returns the result and what the record is to say."""
    try:
        provider_id = await deliver(key)
    except RateLimited as limit:
        # The provider did nothing, so it was no attempt.
        return Limited(limit.retry_after), {"state": "planned", "attempts": attempt - 1}
    except Permanent as error:
        return GivenUp(str(error), attempt), {"state": "failed", "error": str(error)}
    except Transient as error:
        state = "planned" if attempt < MOST_ATTEMPTS else "failed"
        return _again(str(error), attempt), {"state": state, "error": str(error)}
    except Exception as error:
        # Unknown, a time-out, or a fault of our own: whatever it was, it may have gone out.
        said = str(error) if isinstance(error, Unknown) else type(error).__name__
        record = {"state": "unknown", "ambiguous": True, "error": said}
        return GivenUp(UNKNOWN, attempt) if policy == "park" else _again(said, attempt), record
    return Delivered(), {"state": "sent", "provider_id": provider_id, "error": None}


def _again(error: str, attempts: int) -> Result:
    return NotYet(error, attempts) if attempts < MOST_ATTEMPTS else GivenUp(error, attempts)
