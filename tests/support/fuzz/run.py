"""A fuzz run: a daemon, healthy neighbours, and a stream of mutants beside them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

import psutil
from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, WriteError
from redis import Redis

from pipeline_engine import workers
from pipeline_engine.app import App
from tests.support.daemon import Daemon
from tests.support.fuzz.judge import Counts, Judge
from tests.support.fuzz.lane_state import SORTED, LaneMutation, draw_lane
from tests.support.fuzz.mutant import Mutant, draw
from tests.support.fuzz.neighbours import Neighbours
from tests.support.fuzz.rows import ROWS
from tests.support.load import load_factor
from tests.support.world import World

SETTINGS = {
    "LEASE_SECONDS": "15",
    "HEARTBEAT_SECONDS": "5",
    "AUTOMATION_SWEEP_SECONDS": "5",
    "FUNNEL_SWEEP_SECONDS": "2",
    "CLONE_RETRY_SECONDS": "0.5",
    "IMPORT_RETRY_SECONDS": "0.5",
    "LEADS_SWEEP_SECONDS": "2",
    "LEADS_RETRY_SECONDS": "0.5",
    "EVENT_SWEEP_SECONDS": "2",
    "WEBHOOKS_SWEEP_SECONDS": "2",
    "WEBHOOK_TIMEOUT": "2",
    "QUEUE_CONCURRENCY": "10",
    "QUEUE_MAX_JOBS_PER_SECOND": "200",
    "ALLOW_PRIVATE_HOSTS": "true",
}
"""The usual leases; a unit that fails is tried for the last time soon. Webhooks go to an endpoint of the test."""
OPEN_AT_ONCE = 16
USUAL_ROUNDS = 6
LANE_EVERY = 20
"""After so many documents the state of a lane in Redis is mutated."""
LOOK_SECONDS = 0.5
QUIET_SECONDS = 4.0
"""A mutant that has ended must not change for so long: longer than the pause of a lane."""
MAX_OPEN_SECONDS = 60.0


@dataclass
class Report:
    """What a run saw. `usual` and `worst` are seconds by kind of neighbour; `rss` are bytes."""

    seed: str
    usual: dict[str, float] = field(default_factory=dict)
    worst: dict[str, float] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    rss: list[int] = field(default_factory=list, repr=False)

    @property
    def late(self) -> float:
        """By how many seconds the neighbours' longest time exceeded the usual one of its kind, at most."""
        return max(self.worst[what] - self.usual[what] for what in self.usual)

    @property
    def growth_mb(self) -> float:
        """What stays when all mutants have ended."""
        return (self.rss[-1] - self.rss[0]) / 2**20

    @property
    def peak_mb(self) -> float:
        return (max(self.rss) - self.rss[0]) / 2**20

    def __str__(self) -> str:
        ended = ", ".join(f"{count} {word}" for word, count in self.outcomes.most_common())
        times = ", ".join(f"{what} {self.usual[what]:.2f} / {self.worst[what]:.2f} s" for what in self.usual)
        total = self.outcomes.total()
        memory = f"RSS +{self.growth_mb:.0f} MB, at most +{self.peak_mb:.0f} MB"
        return f"FUZZ_SEED={self.seed}: {total} mutants ({ended}); usual / worst {times}; {memory}"


class Fuzz:
    """One run. The mutants are those of `seed`, or of it only those with the given numbers."""

    def __init__(
        self,
        seed: str,
        world: World,
        app: App,
        daemon: Daemon,
        hook_url: str,
        only: Sequence[int] = (),
        kinds: Sequence[str] = (),
    ) -> None:
        self.report = Report(seed)
        self._world, self._daemon, self._hook_url, self._only = world, daemon, hook_url, list(only)
        self._rows = [row for row in ROWS if not kinds or row.name in kinds]
        self._judge = Judge(world.db, app)
        self._neighbours = Neighbours(world, hook_url)
        self._own = {spec.name: list(spec.own) for spec in workers.collections(app.settings)}
        self._lanes = sorted(workers.lanes())
        self._redis = Redis.from_url(world.environment["REDIS_URL"])
        self._number = 0
        self._open: dict[int, tuple[Mutant, float]] = {}
        self._ended: dict[int, tuple[Mutant, float, Counts]] = {}

    async def run(self, seconds: float) -> Report:
        """First neighbours alone, then mutants beside them for `seconds` and until the last has ended."""
        for _ in range(USUAL_ROUNDS):
            await self._neighbours.round()
        self.report.usual = self._longest()
        self._neighbours.seconds.clear()
        self._note_memory()
        stop = Event()
        # Neighbours have a thread of their own, so that what the mutants need here delays no measurement.
        rounds = asyncio.to_thread(asyncio.run, self._until(stop))
        await asyncio.gather(self._mutants(time.monotonic() + seconds, stop), rounds)
        self.report.worst = self._longest()
        return self.report

    def _longest(self) -> dict[str, float]:
        return {what: max(times) for what, times in self._neighbours.seconds.items()}

    async def _until(self, stop: Event) -> None:
        while not stop.is_set():
            await self._neighbours.round()

    async def _mutants(self, end: float, stop: Event) -> None:
        try:
            while self._open or self._ended or time.monotonic() < end:
                while time.monotonic() < end and len(self._open) < OPEN_AT_ONCE and self._more():
                    await asyncio.to_thread(self._plant)
                    if not self._only and self._number % LANE_EVERY == 0:
                        await asyncio.to_thread(self._plant_in_lane)
                await asyncio.sleep(LOOK_SECONDS)
                self._note_memory()
                await self._look()
        finally:
            stop.set()
            self._redis.close()

    def _more(self) -> bool:
        return not self.report.faults and (not self._only or self._number < len(self._only))

    def _note_memory(self) -> None:
        assert self._daemon.alive, self._daemon.tail()
        self.report.rss.append(psutil.Process(self._daemon.pid).memory_info().rss)

    def _plant(self) -> None:
        number = self._only[self._number] if self._only else self._number
        self._number += 1
        mutant = draw(number, self._rows, self.report.seed, self._world.upload, self._hook_url, self._own)
        try:
            for collection, document in mutant.entries:
                self._world.db[collection].insert_one(document)
        except (BSONError, DocumentTooLarge, OverflowError, WriteError):
            self.report.outcomes["refused by MongoDB"] += 1
            self._judge.remove(mutant)
        else:
            self._open[number] = (mutant, time.monotonic())

    def _plant_in_lane(self) -> None:
        mutation = draw_lane(self._number, self._lanes, self.report.seed)
        self._add(f"{self._world.environment['REDIS_PREFIX']}{mutation.lane}:{mutation.part}", mutation)
        self.report.outcomes["in lanes"] += 1

    def _add(self, key: str, mutation: LaneMutation) -> None:
        if mutation.text:
            self._redis.setnx(key, "planted")
        elif mutation.part in SORTED:
            self._redis.zadd(key, mutation.entries, nx=True)
        else:
            self._redis.hset(key, mapping=dict(mutation.entries))

    async def _look(self) -> None:
        """Note which mutants have ended; take out those that have not changed since."""
        now = time.monotonic()
        still = {one.number for one in await self._judge.open_of([one for one, _ in self._open.values()])}
        for number, (mutant, planted) in list(self._open.items()):
            if number not in still:
                self._ended[number] = (mutant, now, self._judge.counts(mutant))
                del self._open[number]
            elif now - planted > MAX_OPEN_SECONDS * load_factor():
                self._blame(mutant, "has not ended")
                del self._open[number]
        for number, (mutant, ended, counts) in list(self._ended.items()):
            if now - ended > QUIET_SECONDS:
                self._check(mutant, counts)
                self._judge.remove(mutant)
                del self._ended[number]

    def _check(self, mutant: Mutant, counts: Counts) -> None:
        if (later := self._judge.counts(mutant)) and later != counts:
            self._blame(mutant, f"is tried on and on: {counts}, then {later}")
        try:
            self.report.outcomes[self._judge.outcome(mutant)] += 1
        except AssertionError as error:
            self._blame(mutant, str(error))

    def _blame(self, mutant: Mutant, what: str) -> None:
        self.report.outcomes["at fault"] += 1
        self.report.faults.append(f"{what}: {mutant}")
