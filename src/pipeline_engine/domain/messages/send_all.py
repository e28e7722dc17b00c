"""Sends the messages of many units: a record is written before each call, so that no crash repeats one unseen, and
every possible double is flagged."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.group_commit import GroupCommit
from pipeline_engine.domain.messages.message import Deliver
from pipeline_engine.domain.messages.send_result import (
    Change,
    Limited,
    Policy,
    SendResult,
    delivered,
    failed,
    not_composed,
    settled,
)
from pipeline_engine.errors import LeaseLost
from pipeline_engine.repos.effects import Begin, End

ASKED_TOGETHER = 20
"""For how many units it is asked together whether they are still wanted."""

StillWanted = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Returns those of the unit keys that are still to be sent; asked shortly before the call."""
Stored = asyncio.Future[bool]
"""Done when a record is stored."""


async def send_all(
    app: App,
    account_id: ObjectId,
    channel: str,
    units: Mapping[str, Deliver | Exception],
    *,
    still_wanted: StillWanted,
    places: int,
    until: float,
) -> dict[str, SendResult]:
    """Send what may be sent of {unit key: what sends it, or why there is nothing to send}, `places` calls at a time.

    Each place has its attempt recorded right before the call, together with what other places have to record by then:
    so a crash leaves at most `places` units of which it is not known whether they were sent.

    Returns the end of each unit. A missing one was not begun: it is no longer wanted, a limit was met, or the time
    `until` (monotonic) came; each place sends one however late it is.

    Raises: LeaseLost when the lease may have run out.
    """
    results = {key: not_composed(one) for key, one in units.items() if isinstance(one, Exception)}
    senders = {key: one for key, one in units.items() if not isinstance(one, Exception)}
    known = await app.shared.effects.records(account_id, list(senders))
    policy = _policy(app, channel)
    results |= {key: end for key, record in known.items() if (end := settled(record, policy))}

    async def write(changes: Sequence[Begin | End]) -> Sequence[bool | Exception]:
        return await app.shared.effects.write(account_id, changes)

    keys = deque(key for key in senders if key not in results)
    async with GroupCommit(write, min((places + 1) // 2, len(keys))) as commit:
        sending = _Sending(app, channel, policy, senders, known, still_wanted, keys, until, commit)
        # When one place breaks, the others end what they began.
        ended = await asyncio.gather(*(sending.work_off() for _ in range(places)), return_exceptions=True)
    for failure in filter(None, ended):
        raise failure
    return results | sending.results


@dataclass
class _Sending:
    app: App
    channel: str
    policy: Policy
    senders: Mapping[str, Deliver]
    known: Mapping[str, Mapping[str, Any]]
    """Records of earlier attempts."""
    still_wanted: StillWanted
    keys: deque[str]
    """Not asked about yet."""
    until: float
    commit: GroupCommit[Begin | End, bool]
    limited: bool = False
    """A call met a limit, so no further one is begun."""
    results: dict[str, SendResult] = field(default_factory=dict)
    wanted: deque[str] = field(default_factory=deque)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def work_off(self) -> None:
        """One place: send unit after unit, each as soon as its attempt is recorded."""
        try:
            key = await self._next()
            end = None
            while key:
                end = await self._send(key, end)
                key = None if self.limited or time.monotonic() >= self.until else await self._next()
            if end:
                await end
        except BaseException:
            self.keys.clear()
            self.wanted.clear()
            raise

    async def _next(self) -> str | None:
        """The next unit that is still to be sent; None when there is none."""
        async with self.asking:
            while self.keys and not self.wanted:
                keys = [self.keys.popleft() for _ in range(min(ASKED_TOGETHER, len(self.keys)))]
                wanted = await self.still_wanted(keys)
                self.wanted.extend(key for key in keys if key in wanted)
        return self.wanted.popleft() if self.wanted else None

    async def _send(self, key: str, end_before: Stored | None) -> Stored | None:
        """Returns what waits for the record of its end, or of the end before when it is not sent."""
        if not self.app.heartbeat.trusted:
            raise LeaseLost("the lease may have run out")
        begin = Begin(key, self.channel, self.known.get(key))
        is_ours = await self.commit.ask(begin)
        if end_before:
            end_before.result()  # asked for earlier, so it is there
        if not is_ours:
            return end_before
        self.results[key], change = await self._call(key, begin.attempt)
        self.limited |= isinstance(self.results[key], Limited)
        return self.commit.add(End(key, begin.attempt, change))

    async def _call(self, key: str, attempt: int) -> tuple[SendResult, Change]:
        try:
            return delivered(await self.senders[key](key))
        except Exception as error:
            return failed(error, attempt, self.policy)


def _policy(app: App, channel: str) -> Policy:
    policies: dict[str, Policy] = {
        "email": app.settings.unknown_email,
        "sms": app.settings.unknown_sms,
        "crm_api": app.settings.unknown_crm_api,
    }
    return policies[channel]
