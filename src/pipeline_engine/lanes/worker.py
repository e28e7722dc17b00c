"""One lane in one daemon: claims as many jobs as it has free places and sleeps until there is a reason to ask again."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import count
from time import monotonic
from typing import Any, Generic

import msgspec
from redis.asyncio import Redis

from pipeline_engine import logs
from pipeline_engine.lanes.claimed_job import HEAD_OF_LINE, ClaimedJob, Settlement
from pipeline_engine.lanes.job import App
from pipeline_engine.lanes.keys import Keys
from pipeline_engine.lanes.lane import Lane, Rate
from pipeline_engine.lanes.runner import Runner
from pipeline_engine.lanes.script import Script

log = logs.get(__name__)

MAX_LOST_CLAIMS = 100
"""How many claims without an answer a worker remembers. The leases of older ones expire by themselves."""

UNLIMITED = Rate(jobs=0, seconds=0.0)
"""What the script takes for "no rate"."""

_step = Script("step")

# The question and the answer of step.lua: (id, token, back, state); and
# (turn, ms to wait, late, [(id, payload, state, crashes), ...], strays).
FinishedJob = tuple[str, str, str, str]
Reply = tuple[int, int, int, list[tuple[bytes, bytes, bytes, bytes]], int]


class RunningJob(msgspec.Struct):
    """A job's task, and the token of the claim under which it runs."""

    token: str
    task: asyncio.Task[None]


class Worker(Generic[App]):
    """Makes one round trip at a time. Jobs that finish meanwhile are settled in the next one."""

    def __init__(self, lane: Lane, runner: Runner[App], redis: Redis, keys: Keys, owner: str, lease: float) -> None:
        self.lane = lane
        self.late = 0
        self.running: dict[str, RunningJob] = {}
        self._runner = runner
        self._redis = redis
        self._keys = keys
        self._owner = owner
        self._lease = lease
        self._claim_numbers = count()
        self._turn = 0
        self._may_find_jobs = True
        self._claiming = True
        self._finished: list[FinishedJob] = []
        self._lost_claims: deque[str] = deque(maxlen=MAX_LOST_CLAIMS)
        self._lost_until = 0.0
        self._woken = asyncio.Event()
        self._woken.set()
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Make the loop ask for jobs: the lane may have some."""
        self._may_find_jobs = True
        self._woken.set()

    def close(self) -> None:
        """Claim no more jobs. The loop ends when the last running job is settled."""
        self._claiming = False
        self._woken.set()

    async def turn(self) -> bool:
        """Sleep until woken, then make a round trip if there is a reason. Returns False once closed and settled.

        Raises: what the call to Redis raises; everything that it should have settled is settled by the next turn.
        """
        await self._woken.wait()
        self._woken.clear()
        places = self._free_places()
        if self._finished or (self._may_find_jobs and places):
            await self._round_trip(places)
        return self._claiming or bool(self.running or self._finished)

    def _free_places(self) -> int:
        return self.lane.places - len(self.running) if self._claiming else 0

    async def _round_trip(self, places: int) -> None:
        token = f"{self._owner}:{next(self._claim_numbers)}"
        finished, self._finished = self._finished, []
        self._may_find_jobs = False
        try:
            reply = await _step(self._redis, [self._keys.stem(self.lane.name)], self._question(token, places, finished))
        except BaseException:
            # Whether the script ran is unknown. Settling a job twice is harmless; the jobs claimed under the token go
            # back. A hanging server may run the script even after the next one, so the token is sent for a whole lease.
            self._finished[:0] = finished
            self._lost_claims.append(token)
            self._lost_until = monotonic() + self._lease
            self.wake()
            raise
        self._accept(token, places, reply)

    def _question(self, token: str, places: int, finished: list[FinishedJob]) -> dict[str, Any]:
        if monotonic() > self._lost_until:
            self._lost_claims.clear()
        rate = self.lane.rate or UNLIMITED
        return {
            "places": places,
            "token": token,
            "lease": round(self._lease * 1000),
            "turn": self._turn,
            "rate": rate.jobs,
            "window": round(rate.seconds * 1000),
            "ttl": self._keys.ttl_ms,
            "lost": list(self._lost_claims),
            "finished": finished,
        }

    def _accept(self, token: str, places: int, reply: Reply) -> None:
        self._turn, wait_ms, late, jobs, strays = reply
        if strays:
            log.warning("lane.strays_removed", lane=self.lane.name, ids=strays, reason="they name no job")
        self.late += late
        self._set_timer(wait_ms)
        self._may_find_jobs |= len(jobs) == places
        for id_, payload, state, crashes in jobs:
            # An id that is not UTF-8 was written by an intruder; decoding with replacement keeps the other jobs going.
            self._start(token, ClaimedJob(id_.decode(errors="replace"), payload, state, self._crashes(id_, crashes)))

    def _crashes(self, id_: bytes, value: bytes) -> int:
        try:
            return max(0, int(value))
        except ValueError:
            log.warning("job.crashes_refused", lane=self.lane.name, job_id=id_.decode(errors="replace"))
            return 0

    def _start(self, token: str, claimed: ClaimedJob) -> None:
        if running := self.running.get(claimed.id):
            # The job runs here already and lost its claim, because Redis was emptied or away too long. It goes on under
            # the new claim.
            running.token = token
        elif not self._claiming:
            self._finish(claimed.id, token, HEAD_OF_LINE)
        else:
            task = asyncio.create_task(self._run(claimed), name=f"{self.lane.name}/{claimed.id}")
            self.running[claimed.id] = RunningJob(token, task)

    async def _run(self, claimed: ClaimedJob) -> None:
        settlement = await self._runner.run(claimed)
        self._finish(claimed.id, self.running.pop(claimed.id).token, settlement)

    def _finish(self, id_: str, token: str, settlement: Settlement) -> None:
        self._finished.append((id_, token, settlement.back, settlement.state))
        self._woken.set()

    def _set_timer(self, wait_ms: int) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if wait_ms >= 0:
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self.wake)
