"""Sends the messages of many units: a record is written before each call, so that no crash repeats one unseen, and
every possible double is flagged."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
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

GROUP_SIZE, PARALLEL_GROUPS = 10, 2
"""Units whose records are written together, and how many such groups are under way: a crash leaves at most all of these
unknown."""

StillWanted = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Returns those of the unit keys that are still to be sent; asked right before the call."""


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

    Returns the end of each unit. A missing one was not begun: it is no longer wanted, a limit was met, or the time
    `until` (monotonic) came; the first group is sent however late it is.

    Raises: LeaseLost when the lease may have run out.
    """
    results = {key: not_composed(one) for key, one in units.items() if isinstance(one, Exception)}
    senders = {key: one for key, one in units.items() if not isinstance(one, Exception)}
    known = await app.shared.effects.records(account_id, list(senders))
    policy = _policy(app, channel)
    results |= {key: end for key, record in known.items() if (end := settled(record, policy))}
    keys = [key for key in senders if key not in results]
    sending = _Sending(app, account_id, channel, policy, senders, known, still_wanted, asyncio.Semaphore(places))
    return results | await _send_groups(sending, keys, until)


async def _send_groups(sending: _Sending, keys: list[str], until: float) -> dict[str, SendResult]:
    groups = deque(keys[at : at + GROUP_SIZE] for at in range(0, len(keys), GROUP_SIZE))
    results: dict[str, SendResult] = {}
    sent = False

    async def send_in_turn() -> None:
        nonlocal sent
        while groups and not (sent and (time.monotonic() >= until or sending.limited)):
            sent = True
            try:
                results.update(await sending.send(groups.popleft()))
            except BaseException:
                groups.clear()
                raise

    # While one group's records are written, the other's calls are made. When one breaks, the other ends what it began.
    turns = [send_in_turn() for _ in range(PARALLEL_GROUPS)]
    for failure in filter(None, await asyncio.gather(*turns, return_exceptions=True)):
        raise failure
    return results


@dataclass
class _Sending:
    app: App
    account_id: ObjectId
    channel: str
    policy: Policy
    senders: Mapping[str, Deliver]
    known: Mapping[str, Mapping[str, Any]]
    """Records of earlier attempts."""
    still_wanted: StillWanted
    places: asyncio.Semaphore
    limited: bool = False
    """A call met a limit, so no further group is begun."""

    async def send(self, keys: Collection[str]) -> dict[str, SendResult]:
        """Some units together: ask whether they are still wanted, record the attempt, call, record the end."""
        if not self.app.heartbeat.trusted:
            raise LeaseLost("the lease may have run out")
        effects, wanted = self.app.shared.effects, await self.still_wanted(keys)
        begun = await effects.begin_attempts(
            self.account_id, self.channel, {key: self.known.get(key) for key in wanted}
        )
        ended = dict(zip(begun, await asyncio.gather(*(self._call(*unit) for unit in begun.items())), strict=True))
        self.limited |= any(isinstance(result, Limited) for result, _ in ended.values())
        await effects.end_attempts(self.account_id, {key: (begun[key], change) for key, (_, change) in ended.items()})
        return {key: result for key, (result, _) in ended.items()}

    async def _call(self, key: str, attempt: int) -> tuple[SendResult, Change]:
        async with self.places:
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
