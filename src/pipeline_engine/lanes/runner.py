"""Runs one claimed job and settles its outcome. Nothing that a handler, a hook or the store raises leaves this file."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from functools import partial
from random import random
from typing import Generic

import msgspec
import structlog

from pipeline_engine import logs
from pipeline_engine.lanes.claimed_job import DEAD, HEAD_OF_LINE, REMOVE, ClaimedJob, RetryState, Settlement
from pipeline_engine.lanes.classify_error import brief, classify_error, expected, limit_attempts, where
from pipeline_engine.lanes.codec import Codec, Payload, Refused
from pipeline_engine.lanes.history import History
from pipeline_engine.lanes.job import App, Context, Dead, Done, Finished, Handler, Hook, Job, Outcome, Retry, Snooze
from pipeline_engine.lanes.job_store import JobStore, dead_letter
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.progress import ProgressBoard

log = logs.get(__name__)

HOOK_TIMEOUT = 5.0
DEAD_LETTER_TIMEOUT = 10.0
DEAD_LETTER_RETRY_SECONDS = 5.0

DONE = Done()
NEVER_FAILED = RetryState()


class Runner(Generic[App]):
    """Runs the jobs of one lane; keeps nothing of a job that has ended."""

    def __init__(
        self,
        lane: Lane,
        handlers: Mapping[str, Handler[App]],
        app: App,
        codec: Codec,
        store: JobStore,
        history: History,
        board: ProgressBoard,
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
        self._board = board
        self._hooks = hooks
        self._unknown_functions: set[str] = set()

    async def run(self, claimed: ClaimedJob) -> Settlement:
        """Run the job; returns what becomes of it in Redis. Never raises.

        A job that is cancelled, which only a shutdown does, returns to the head of its line.
        """
        try:
            return await self._open(claimed)
        except asyncio.CancelledError:
            return HEAD_OF_LINE
        except Exception as error:
            facts = {"error": brief(error), "where": where(error)}
            log.error("job.settlement_failed", lane=self._lane.name, job_id=claimed.id, **facts)
            return Settlement.after(DEAD_LETTER_RETRY_SECONDS)

    async def _open(self, claimed: ClaimedJob) -> Settlement:
        try:
            payload = self._codec.payload(claimed.payload)
        except Refused as error:
            self.refused += 1
            log.warning("job.refused", lane=self._lane.name, job_id=claimed.id, reason=str(error))
            return DEAD
        handler = self._handlers.get(payload.f)
        if handler is None:
            return self._park(payload.f)
        state = self._retry_state(claimed)
        job = Job(self._lane.name, claimed.id, payload.f, state.attempt, claimed.crashes, payload.et)
        return await self._run_to_settlement(job, handler, payload, state)

    def _park(self, function: str) -> Settlement:
        self.unknown += 1
        if function not in self._unknown_functions:
            self._unknown_functions.add(function)
            log.warning("job.parked", lane=self._lane.name, function=function)
        return Settlement.park(function)

    def _retry_state(self, claimed: ClaimedJob) -> RetryState:
        if not claimed.state:
            return NEVER_FAILED
        try:
            return msgspec.convert(self._codec.deserialize(b64decode(claimed.state)), RetryState)
        except (ValueError, msgspec.MsgspecError):
            self.refused += 1
            log.warning("job.state_refused", lane=self._lane.name, job_id=claimed.id)
            return NEVER_FAILED

    def _sealed(self, state: RetryState) -> str:
        return b64encode(self._codec.serialize(state)).decode()

    async def _run_to_settlement(
        self, job: Job, handler: Handler[App], payload: Payload, state: RetryState
    ) -> Settlement:
        started = time.perf_counter()
        error: BaseException | None = None
        outcome = _given_up(job, state, self._lane)
        if outcome is None:
            outcome, error = await self._attempt(job, handler, payload)
        outcome = limit_attempts(outcome, error, job.attempt, self._lane)
        ms = (time.perf_counter() - started) * 1000
        outcome, settlement = await self._settle(job, payload, state, outcome, error)
        self._history.add(job, outcome, ms)
        _log_outcome(outcome, ms, error)
        for hook in self._hooks:
            await _call_hook(hook, Finished(job, outcome, ms, error))
        return settlement

    async def _attempt(self, job: Job, handler: Handler[App], payload: Payload) -> tuple[Outcome, BaseException | None]:
        structlog.contextvars.bind_contextvars(lane=job.lane, job_id=job.id, attempt=job.attempt)
        limit = asyncio.timeout(self._lane.timeout)
        try:
            async with limit:
                outcome = await handler(self._context(job), *payload.a, **payload.k)
            return outcome if isinstance(outcome, Outcome) else DONE, None
        except asyncio.CancelledError as cancelled:
            if _task_is_cancelled():
                raise
            return Retry("cancelled by something inside it"), cancelled
        except Exception as raised:
            error = TimeoutError(f"ran longer than {self._lane.timeout:g} s") if limit.expired() else raised
            return classify_error(error), error

    def _context(self, job: Job) -> Context[App]:
        return Context(self._app, job, partial(self._board.note, job.lane, job.id))

    async def _settle(
        self, job: Job, payload: Payload, state: RetryState, outcome: Outcome, error: BaseException | None
    ) -> tuple[Outcome, Settlement]:
        match outcome:
            case Done():
                return outcome, REMOVE
            case Snooze():
                return outcome, HEAD_OF_LINE if outcome.first else Settlement.after(outcome.after)
            case Retry():
                after = self._lane.backoff.delay(job.attempt, random) if outcome.after is None else outcome.after
                return outcome, Settlement.after(after, self._sealed(state.failed(_now_ms(), outcome.error)))
            case Dead():
                if not state.exhausted:
                    state = state.failed(_now_ms(), brief(error) if error else outcome.error, exhausted=True)
                return await self._save_dead_letter(job, payload, state, outcome)

    async def _save_dead_letter(
        self, job: Job, payload: Payload, state: RetryState, dead: Dead
    ) -> tuple[Outcome, Settlement]:
        try:
            async with asyncio.timeout(DEAD_LETTER_TIMEOUT):
                await self._store.save_dead_letter(dead_letter(job, payload, state, dead))
        except (Exception, asyncio.CancelledError) as error:
            # The job stays in its lane, exhausted, and is not run again; only its letter is tried again.
            log.warning("dead_letter.write_failed", error=type(error).__name__)
            seconds = DEAD_LETTER_RETRY_SECONDS
            return Snooze(seconds), Settlement.after(seconds, self._sealed(state))
        return dead, DEAD


def _given_up(job: Job, state: RetryState, lane: Lane) -> Outcome | None:
    if state.exhausted:
        return Dead(state.failures[-1].error)
    if lane.crashes is not None and job.crashes >= lane.crashes:
        return Dead(f"the process ended {job.crashes} times in a row while this job ran")
    return None


def _log_outcome(outcome: Outcome, ms: float, error: BaseException | None) -> None:
    facts = {"outcome": type(outcome).__name__, "ms": round(ms, 1)}
    if isinstance(outcome, (Done, Snooze)):
        log.debug("job.ended", **facts)
        return
    # The message of a foreign exception may quote a tenant's data: it goes to the store, not to the log.
    if error is None or expected(error):
        facts["error"] = outcome.error
    else:
        facts |= {"error": brief(error), "where": where(error)}
    write = log.error if isinstance(outcome, Dead) else log.warning
    write("job.failed", **facts)


async def _call_hook(hook: Hook, finished: Finished) -> None:
    # The outcome is settled. Even a shutdown that cancels the hook must not make this run count as not done.
    try:
        async with asyncio.timeout(HOOK_TIMEOUT):
            await hook(finished)
    except (Exception, asyncio.CancelledError) as error:
        log.warning("hook.failed", error=brief(error), where=where(error))


def _task_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _now_ms() -> int:
    return int(time.time() * 1000)
