"""One lane in one daemon: asks for as many jobs as it has free places, sleeps until there is a reason to ask again."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import count
from time import monotonic
from typing import Any, Generic

import msgspec
from redis.asyncio import Redis

from pipeline_engine.lanes.job import App
from pipeline_engine.lanes.keys import Keys
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.rate import Rate
from pipeline_engine.lanes.runner import FIRST, Claim, Ending, Runner
from pipeline_engine.lanes.script import Script

LOST = 100  # claims without an answer that are remembered; past that their leases run out

UNLIMITED = Rate(jobs=0, seconds=0.0)  # what the script takes for "no rate"

_step = Script("step")

# See step.lua: id, token, back, state; and turn, ms to wait, late, (id, payload, state, crashes).
Settled = tuple[str, str, str, str]
Reply = tuple[int, int, int, list[tuple[bytes, bytes, bytes, bytes]]]


class Running(msgspec.Struct):
    """A job that runs, and the claim under which it does."""

    token: str
    task: asyncio.Task[None]


class Worker(Generic[App]):
    """Its loop makes one round trip at a time; what finishes meanwhile goes along with the next one."""

    def __init__(self, lane: Lane, runner: Runner[App], redis: Redis, keys: Keys, owner: str, lease: float) -> None:
        self.lane = lane
        self.late = 0
        self.running: dict[str, Running] = {}
        self._runner = runner
        self._redis = redis
        self._keys = keys
        self._owner = owner
        self._lease = lease
        self._tokens = count()
        self._turn = 0
        self._hungry = True
        self._claiming = True
        self._finished: list[Settled] = []
        self._lost: deque[str] = deque(maxlen=LOST)
        self._lost_until = 0.0
        self._news = asyncio.Event()
        self._news.set()
        self._alarm: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There may be something to claim."""
        self._hungry = True
        self._news.set()

    def close(self) -> None:
        """Claim nothing more; the loop ends when the last running job is settled."""
        self._claiming = False
        self._news.set()

    async def turn(self) -> bool:
        """One waking: sleep until there is news, then make the round trip. False when closed and through."""
        await self._news.wait()
        self._news.clear()
        free = self._free()
        if self._finished or (self._hungry and free):
            await self._round_trip(free)
        return self._claiming or bool(self.running or self._finished)

    def _free(self) -> int:
        return self.lane.places - len(self.running) if self._claiming else 0

    async def _round_trip(self, places: int) -> None:
        token = f"{self._owner}:{next(self._tokens)}"
        finished, self._finished = self._finished, []
        self._hungry = False
        try:
            reply = await _step(self._redis, [self._keys.stem(self.lane.name)], self._question(token, places, finished))
        except BaseException:
            # Whether it was done is unknown. Finishing again is harmless; what was claimed is handed back. A hanging
            # server may even do it later than the next question, so the token is named for a while.
            self._finished[:0] = finished
            self._lost.append(token)
            self._lost_until = monotonic() + self._lease
            self.wake()
            raise
        self._answer(token, places, reply)

    def _question(self, token: str, places: int, finished: list[Settled]) -> dict[str, Any]:
        if monotonic() > self._lost_until:
            self._lost.clear()
        rate = self.lane.rate or UNLIMITED
        return {
            "places": places,
            "token": token,
            "lease": round(self._lease * 1000),
            "turn": self._turn,
            "rate": rate.jobs,
            "window": round(rate.seconds * 1000),
            "ttl": self._keys.ttl_ms,
            "lost": list(self._lost),
            "finished": finished,
        }

    def _answer(self, token: str, places: int, reply: Reply) -> None:
        self._turn, wait, late, jobs = reply
        self.late += late
        self._set_alarm(wait)
        self._hungry |= len(jobs) == places  # perhaps there was more
        for id_, payload, state, crashes in jobs:
            # An id that is no text was planted. Its like goes round without harm; here it must not stop its neighbours.
            self._start(token, Claim(id_.decode(errors="replace"), payload, state, int(crashes)))

    def _start(self, token: str, claim: Claim) -> None:
        if held := self.running.get(claim.id):
            # It runs here already and lost its claim (Redis was emptied, or away too long): it goes on under this one.
            held.token = token
        elif not self._claiming:
            self._finish(claim.id, token, FIRST)
        else:
            task = asyncio.create_task(self._run(claim), name=f"{self.lane.name}/{claim.id}")
            self.running[claim.id] = Running(token, task)

    async def _run(self, claim: Claim) -> None:
        ending = await self._runner.run(claim)
        self._finish(claim.id, self.running.pop(claim.id).token, ending)

    def _finish(self, id_: str, token: str, ending: Ending) -> None:
        self._finished.append((id_, token, ending.back, ending.state))
        self._news.set()

    def _set_alarm(self, wait_ms: int) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = None
        if wait_ms >= 0:
            self._alarm = asyncio.get_running_loop().call_later(wait_ms / 1000, self.wake)
