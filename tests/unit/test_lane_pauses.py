"""A pause of a lane holds until `resume`, whatever crashes or comes between two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline_engine import lane_pauses
from pipeline_engine.errors import Unreachable

LANE, OTHER = "deals.import", "events.outbox"


class Servers:
    """The record in MongoDB and the keys in Redis. `then` runs after the next call of its name, or raises in it."""

    def __init__(self, record: list[str] | None, keys: Iterable[str] = ()) -> None:
        self.record, self.keys = record, set(keys)
        self.then: dict[str, Callable[[], None]] = {}
        repo = SimpleNamespace(names=self._names, begin=self._begin, add=self._add, remove=self._remove)
        queue = SimpleNamespace(counts=self._counts, pause=self._pause, resume=self._resume)
        self.app: Any = SimpleNamespace(shared=SimpleNamespace(paused_lanes=repo), queue=queue)

    def _called(self, name: str) -> None:
        self.then.pop(name, lambda: None)()

    async def _names(self) -> list[str] | None:
        answer = None if self.record is None else list(self.record)
        self._called("names")
        return answer

    async def _begin(self, lanes: Iterable[str]) -> None:
        if self.record is None:
            self.record = list(lanes)

    async def _add(self, lane: str) -> None:
        self.record = [*(self.record or []), lane]
        self._called("add")

    async def _remove(self, lane: str) -> None:
        self.record = [one for one in self.record or [] if one != lane]
        self._called("remove")

    async def _counts(self, lanes: list[str]) -> dict[str, Any]:
        answer = {lane: SimpleNamespace(paused=lane in self.keys) for lane in lanes}
        self._called("counts")
        return answer

    async def _pause(self, lane: str) -> None:
        self.keys.add(lane)

    async def _resume(self, lane: str) -> None:
        self.keys.discard(lane)

    def resumed(self) -> None:
        """Another process has resumed the lane meanwhile."""
        self.record = [one for one in self.record or [] if one != LANE]
        self.keys.discard(LANE)


def killed() -> None:
    raise Unreachable("killed")


async def test_a_pause_that_redis_lost_is_restored_and_no_other() -> None:
    servers = Servers([LANE, OTHER])
    await lane_pauses.resume(servers.app, OTHER)
    servers.keys.clear()

    await lane_pauses.restore(servers.app)

    assert servers.keys == {LANE}


async def test_a_pause_that_was_killed_after_its_record_holds() -> None:
    servers = Servers([])
    servers.then["add"] = killed
    with pytest.raises(Unreachable):
        await lane_pauses.pause(servers.app, LANE)

    await lane_pauses.restore(servers.app)

    assert servers.keys == {LANE}


async def test_a_resume_that_was_killed_half_way_leaves_the_lane_paused_until_it_is_repeated() -> None:
    servers = Servers([LANE], keys=[LANE])
    servers.then["remove"] = killed
    with pytest.raises(Unreachable):
        await lane_pauses.resume(servers.app, LANE)
    assert servers.keys == {LANE}

    await lane_pauses.resume(servers.app, LANE)
    await lane_pauses.restore(servers.app)

    assert servers.keys == set()


async def test_a_resume_between_record_and_key_is_not_undone() -> None:
    servers = Servers([LANE, OTHER], keys=[LANE, OTHER])
    servers.then["names"] = servers.resumed

    await lane_pauses.restore(servers.app)

    assert servers.keys == {OTHER}


async def test_what_an_older_engine_has_paused_is_recorded_once() -> None:
    servers = Servers(None, keys=[LANE])
    await lane_pauses.pause(servers.app, OTHER)
    assert sorted(servers.record or []) == [LANE, OTHER]

    servers.keys = {"deals.import.rows"}  # paused in Redis alone, while MongoDB was away
    await lane_pauses.restore(servers.app)

    assert sorted(servers.record or []) == [LANE, OTHER]


async def test_a_resume_while_the_older_pauses_are_recorded_is_not_undone() -> None:
    servers = Servers(None, keys=[LANE])
    servers.then["counts"] = servers.resumed

    await lane_pauses.restore(servers.app)

    assert (servers.record, servers.keys) == ([], set())
