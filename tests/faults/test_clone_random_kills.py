"""SIGKILL at random while a funnel is cloned: the same copy as without, and no object that nobody knows of."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.faults.clone_drill import CloneDrill
from tests.support.history import CONVERGED
from tests.support.proxy import Fault, Proxy

STEPS = 10
# One copy at a time from a slow S3: so a clone lasts as long as several lives of a daemon. A run that ends because a
# step has seen too many deaths is followed by the next at once.
SLOW = {"CLONE_COPIES": "1", "FUNNEL_SWEEP_SECONDS": "1"}
DELAY = 0.02
"""Seconds of S3's each way, for each kill: the more lives, the longer the clone. A copy takes four ways."""
MOMENT = 0.3
"""Seconds within which a kill falls after the progress that it waited for."""


@pytest.fixture
async def slow_s3(servers: dict[str, str]) -> AsyncIterator[Proxy]:
    async with Proxy.before(servers["S3_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.mark.covers("FC-12", "FC-X2", "FC-X8")
async def test_five_kills_in_a_clone_of_ten_steps(clone_drill: CloneDrill, slow_s3: Proxy, figure: list[str]) -> None:
    await _survive(clone_drill, slow_s3, figure, kills=5)


@pytest.mark.slow
@pytest.mark.covers("FC-12", "FC-X2", "FC-X8")
async def test_twenty_kills_in_a_clone_of_ten_steps(clone_drill: CloneDrill, slow_s3: Proxy, figure: list[str]) -> None:
    await _survive(clone_drill, slow_s3, figure, kills=20)


async def _survive(drill: CloneDrill, s3: Proxy, figure: list[str], kills: int) -> None:
    s3.set(Fault(delay=DELAY * kills))
    slow = {"S3_ENDPOINT_URL": s3.instead_of(drill.environment["S3_ENDPOINT_URL"]), **SLOW}
    planted = drill.plant(STEPS)
    seen = []
    # Kills fall when so many steps are done: spread over the whole clone, at a moment that nobody chose.
    for done in sorted(random.choices(range(STEPS // 2), k=kills)):  # noqa: S311
        daemon = drill.start(**slow)
        await drill.until(lambda: daemon.calls("s3.copy") > 0 or drill.at_rest(), "a copy is made")  # noqa: B023
        await drill.until(lambda: drill.done() >= done or drill.at_rest(), f"{done} steps are done", 60)  # noqa: B023
        await drill.lives_on(daemon, random.uniform(0, MOMENT))  # noqa: S311
        daemon.kill()
        seen.append(drill.done())
    drill.start(**slow)
    await drill.come_to_rest(patience=60)
    drill.judge(patience=CONVERGED)
    ended = drill.funnel(planted)
    figure.append(
        f"{kills} kills: steps done when each fell {seen}; the copy is whole, 0 objects without a record; "
        f"{ended['clone']['attempts']} runs failed before the last; "
        f"a lease lay about for at most {drill.clones.longest_orphan() / timedelta(seconds=1):.1f} s"
    )
    assert sum(done < STEPS for done in seen) > kills / 2
