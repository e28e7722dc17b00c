"""Runs one job from claim to ending. Nothing that a handler, a hook or the store raises gets out of here."""

from __future__ import annotations

import asyncio
import math
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from random import random
from typing import Generic

import msgspec
import structlog

from pipeline_engine import logs
from pipeline_engine.lanes.classify_error import brief, classify_error, expected, last_word, where
from pipeline_engine.lanes.codec import Codec, Payload, Refused
from pipeline_engine.lanes.history import History
from pipeline_engine.lanes.job import App, Context, Finished, Handler, Hook, Job
from pipeline_engine.lanes.job_store import DeadLetter, JobStore
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.outcome import Dead, Done, Outcome, Retry, Snooze
from pipeline_engine.lanes.retry_state import RetryState, moment

log = logs.get(__name__)

HOOK_TIMEOUT = 5.0
BURIAL_TIMEOUT = 10.0
BURIAL_REST = 5.0  # until the next try when the store did not take a dead letter


class Claim(msgspec.Struct, frozen=True):
    """A job as the claim script hands it out; `state` is empty until it failed once."""

    id: str
    payload: bytes
    state: bytes
    crashes: int


class Ending(msgspec.Struct, frozen=True):
    """What the step script is told of a job: see `back` and `state` in step.lua."""

    back: str
    state: str = ""


GONE = Ending("")
FIRST = Ending("first")
DONE = Done()
NEW = RetryState()


def back_in(seconds: float, state: str = "") -> Ending:
    """Into the lane again, at the end of the line after that time."""
    return Ending(str(math.ceil(seconds * 1000)), state)


class Runner(Generic[App]):
    """Knows how the jobs of one lane run; holds no job itself."""

    def __init__(
        self,
        lane: Lane,
        handlers: Mapping[str, Handler[App]],
        app: App,
        codec: Codec,
        store: JobStore,
        history: History,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.refused = 0
        self.unknown = 0
        self._lane = lane
        self._handlers = handlers
        self._app = app
        self._codec = codec
        self._store = store
        self._history = history
        self._hooks = hooks
        self._puzzled: set[str] = set()

    async def run(self, claim: Claim) -> Ending:
        """Never raises. A cancelled run, which only a shutdown brings about, goes to the head of its line."""
        try:
            return await self._open(claim)
        except asyncio.CancelledError:
            return FIRST
        except Exception as error:
            log.error("job.not_settled", lane=self._lane.name, job_id=claim.id, error=brief(error), where=where(error))
            return back_in(BURIAL_REST)

    async def _open(self, claim: Claim) -> Ending:
        try:
            payload = self._codec.payload(claim.payload)
        except Refused as error:
            self.refused += 1
            log.warning("job.refused", lane=self._lane.name, job_id=claim.id, reason=str(error))
            return GONE
        handler = self._handlers.get(payload.f)
        if handler is None:
            return self._park(payload.f)
        past = self._recall(claim)
        job = Job(self._lane.name, claim.id, payload.f, past.attempt, claim.crashes, payload.et)
        return await self._live(job, handler, payload, past)

    def _park(self, function: str) -> Ending:
        self.unknown += 1
        if function not in self._puzzled:
            self._puzzled.add(function)
            log.warning("job.unknown_function", lane=self._lane.name, function=function)
        return Ending(f"?{function}")

    def _recall(self, claim: Claim) -> RetryState:
        if not claim.state:
            return NEW
        try:
            return msgspec.convert(self._codec.deserialize(b64decode(claim.state)), RetryState)
        except (ValueError, msgspec.MsgspecError):
            self.refused += 1
            log.warning("job.state_refused", lane=self._lane.name, job_id=claim.id)
            return NEW

    def _remember(self, past: RetryState) -> str:
        return b64encode(self._codec.serialize(past)).decode()

    async def _live(self, job: Job, handler: Handler[App], payload: Payload, past: RetryState) -> Ending:
        started = time.perf_counter()
        if doom := self._doom(job, past):
            outcome, error = doom, None
        else:
            outcome, error = await self._attempt(job, handler, payload)
        outcome = last_word(outcome, error, job.attempt, self._lane)
        ms = (time.perf_counter() - started) * 1000
        outcome, ending = await self._settle(job, payload, past, outcome, error)
        self._note(job, outcome, ms, error)
        for hook in self._hooks:
            await self._call(hook, Finished(job, outcome, ms, error))
        return ending

    def _doom(self, job: Job, past: RetryState) -> Outcome | None:
        if past.exhausted:
            return Dead(past.failures[-1].error)
        if self._lane.crashes is not None and job.crashes >= self._lane.crashes:
            return Dead(f"took its process down {job.crashes} times in a row")
        return None

    async def _attempt(self, job: Job, handler: Handler[App], payload: Payload) -> tuple[Outcome, BaseException | None]:
        structlog.contextvars.bind_contextvars(lane=job.lane, job_id=job.id, attempt=job.attempt)
        limit = asyncio.timeout(self._lane.timeout)
        try:
            async with limit:
                outcome = await handler(Context(self._app, job), *payload.a, **payload.k)
            return outcome if isinstance(outcome, Outcome) else DONE, None
        except asyncio.CancelledError as cancelled:
            if _cancelled_from_outside():
                raise
            return Retry("cancelled by something inside it"), cancelled
        except Exception as raised:
            error = TimeoutError(f"ran longer than {self._lane.timeout:g} s") if limit.expired() else raised
            return classify_error(error), error

    async def _settle(
        self, job: Job, payload: Payload, past: RetryState, outcome: Outcome, error: BaseException | None
    ) -> tuple[Outcome, Ending]:
        match outcome:
            case Done():
                return outcome, GONE
            case Snooze():
                return outcome, FIRST if outcome.first else back_in(outcome.after)
            case Retry():
                after = self._lane.backoff.delay(job.attempt, random) if outcome.after is None else outcome.after
                past = past.failed(_now_ms(), outcome.error)
                return outcome, back_in(after, self._remember(past))
            case Dead():
                if not past.exhausted:
                    past = past.failed(_now_ms(), brief(error) if error else outcome.error, exhausted=True)
                return await self._bury(job, payload, past, outcome)

    async def _bury(self, job: Job, payload: Payload, past: RetryState, dead: Dead) -> tuple[Outcome, Ending]:
        letter = DeadLetter(
            job.lane,
            job.id,
            job.function,
            payload.a,
            payload.k,
            dead.error,
            dead.traceback,
            past.attempts,
            moment(past.first_failed_ms),
            moment(past.failures[-1].at_ms),
            [failure.told() for failure in past.failures],
        )
        try:
            async with asyncio.timeout(BURIAL_TIMEOUT):
                await self._store.save_dead_letter(letter)
        except (Exception, asyncio.CancelledError) as error:
            # The job stays in the lane, given up but not run again, until its letter is written.
            log.warning("job.not_buried", error=type(error).__name__)
            return Snooze(BURIAL_REST), back_in(BURIAL_REST, self._remember(past))
        return dead, GONE

    def _note(self, job: Job, outcome: Outcome, ms: float, error: BaseException | None) -> None:
        said = outcome.error if isinstance(outcome, (Retry, Dead)) else None
        self._history.note(job, outcome, ms, said)
        if said is None:
            log.debug("job.ended", outcome=type(outcome).__name__, ms=round(ms, 1))
            return
        # The message of a foreign exception may quote what it choked on: it goes to the store, not to the log.
        facts = {"error": said} if error is None or expected(error) else {"error": brief(error), "where": where(error)}
        tell = log.error if isinstance(outcome, Dead) else log.warning
        tell("job.failed", outcome=type(outcome).__name__, ms=round(ms, 1), **facts)

    async def _call(self, hook: Hook, finished: Finished) -> None:
        # The outcome stands by now: not even a shutdown may turn it into a run that did not happen.
        try:
            async with asyncio.timeout(HOOK_TIMEOUT):
                await hook(finished)
        except (Exception, asyncio.CancelledError) as error:
            log.warning("hook.failed", error=brief(error), where=where(error))


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _now_ms() -> int:
    return int(time.time() * 1000)
