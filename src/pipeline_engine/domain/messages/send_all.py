"""Sends the messages of many units: a record is written before each call, so that no crash repeats one unseen, and
every possible double is flagged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.messages.group_commit import GroupCommit
from pipeline_engine.domain.messages.holding import hold
from pipeline_engine.domain.messages.inbound_text import STOPPED
from pipeline_engine.domain.messages.message import Deliver, TextDelivery
from pipeline_engine.domain.messages.policy import Held
from pipeline_engine.domain.messages.send_result import (
    MAX_ATTEMPTS,
    SENDER_REST_SECONDS,
    Change,
    GivenUp,
    Limited,
    Policy,
    SendResult,
    delivered,
    failed,
    not_composed,
    settled,
)
from pipeline_engine.domain.messages.suppress import suppress
from pipeline_engine.domain.messages.wanted import StillWanted, Wanted
from pipeline_engine.errors import LeaseLost, SenderRefused
from pipeline_engine.repos.effects import Begin, End

log = logs.get(__name__)


class _Taken(Exception):
    """Another run has begun the attempt."""


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
    attempts: int = MAX_ATTEMPTS,
    results: dict[str, SendResult] | None = None,
) -> dict[str, SendResult]:
    """Send what may be sent of {unit key: what sends it, or why there is nothing to send}, `places` calls at a time.

    Each place has its attempt recorded right before it hands the message over, together with what other places have to
    record by then: so a crash leaves at most `places` units of which it is not known whether they were sent. What is
    `Held` waits for its send window, and uses up no attempt.

    Returns the end of each unit. A missing one was not begun: it is no longer wanted, a limit was met, or the time
    `until` (monotonic) came; each place sends one however late it is. `results` get each end when its record has it.

    Raises: LeaseLost when the lease may have run out.
    """
    results = {} if results is None else results
    policy = _policy(app, channel)
    ends, known = await _without_call(app, account_id, channel, units, policy, attempts)
    results |= ends
    senders = {key: one for key, one in units.items() if not isinstance(one, Exception)}

    async def write(changes: Sequence[Begin | End]) -> Sequence[bool | Exception]:
        return await app.shared.effects.write(account_id, changes)

    keys = [key for key in senders if key not in results]
    async with GroupCommit(write, min(places, len(keys))) as commit, Wanted(keys, still_wanted, places) as wanted:
        sending = _Sending(app, account_id, channel, policy, senders, known, wanted, until, commit, attempts, results)
        # When one place breaks, the others end what they began.
        ended = await asyncio.gather(*(sending.work_off() for _ in range(places)), return_exceptions=True)
    for failure in filter(None, ended):
        raise failure
    return results


async def _without_call(
    app: App,
    account_id: ObjectId,
    channel: str,
    units: Mapping[str, Deliver | Exception],
    policy: Policy,
    attempts: int,
) -> tuple[dict[str, SendResult], Mapping[str, Mapping[str, Any]]]:
    """The ends of units for which no call is made: there is no message, an earlier attempt has settled it, or it must
    wait for its window. And the records of earlier attempts."""
    waiting = {key: one for key, one in units.items() if isinstance(one, Held)}
    refused = {key: one for key, one in units.items() if isinstance(one, Exception) and key not in waiting}
    known = await app.shared.effects.records(account_id, [key for key in units if key not in refused])
    ends: dict[str, SendResult] = {key: not_composed(one) for key, one in refused.items()}
    ends |= {key: end for key, record in known.items() if (end := settled(record, policy, attempts))}
    open = {key: waiting.get(key) for key in units if key not in ends}
    return ends | await hold(app, account_id, channel, open, known), known


@dataclass
class _Sending:
    app: App
    account_id: ObjectId
    channel: str
    policy: Policy
    senders: Mapping[str, Deliver]
    known: Mapping[str, Mapping[str, Any]]
    """Records of earlier attempts."""
    wanted: Wanted
    until: float
    commit: GroupCommit[Begin | End, bool]
    attempts: int
    results: dict[str, SendResult]
    limited: bool = False
    """A call met a limit, so no further one is begun."""

    async def work_off(self) -> None:
        """One place: send unit after unit, each as soon as its attempt is recorded."""
        try:
            key = await self.wanted.take()
            end = None
            while key:
                end = await self._send(key, end)
                key = None if self.limited or time.monotonic() >= self.until else await self.wanted.take()
            if end:
                await end
        except BaseException:
            self.wanted.clear()
            raise

    async def _send(self, key: str, end_before: Stored | None) -> Stored | None:
        """Returns what waits for the record of its end, or of the end before when it is not sent."""
        if not self.app.heartbeat.trusted:
            raise LeaseLost("the lease may have run out")
        sender = self.senders[key]
        to_hash = sender.to_hash if isinstance(sender, TextDelivery) else None
        begin = Begin(key, self.channel, self.known.get(key), to_hash)
        is_ours = self.commit.ask(begin)
        result, change = await self._call(key, begin.attempt, is_ours)
        taken = not await is_ours  # a refused call ends before its attempt is recorded
        if end_before:
            end_before.result()  # asked for earlier, so it is there
        if taken:
            return end_before
        if isinstance(result, GivenUp) and result.code == "opted_out" and isinstance(sender, TextDelivery):
            await suppress(self.app, self.account_id, "sms", sender.to, STOPPED)
        self.limited |= isinstance(result, Limited)
        stored = self.commit.add(End(key, begin.attempt, change))
        stored.add_done_callback(partial(self._note, key, result))
        return stored

    def _note(self, key: str, result: SendResult, stored: Stored) -> None:
        """The end is there when it is stored, so that the record says what a reader of the end goes on from."""
        if not stored.cancelled() and stored.exception() is None:
            self.results[key] = result

    async def _call(self, key: str, attempt: int, is_ours: Stored) -> tuple[SendResult, Change]:
        async def recorded() -> None:
            if not await is_ours:
                raise _Taken

        try:
            return delivered(await self.senders[key](key, recorded))
        except Exception as error:
            if isinstance(error, SenderRefused):
                log.warning("sender.refused", channel=self.channel, error=error, rest_seconds=SENDER_REST_SECONDS)
            return failed(error, attempt, self.policy, self.attempts)


def _policy(app: App, channel: str) -> Policy:
    policies: dict[str, Policy] = {
        "email": app.settings.unknown_email,
        "sms": app.settings.unknown_sms,
        "crm_api": app.settings.unknown_crm_api,
    }
    return policies[channel]
