"""S3 refuses copies, says it made them and did not, makes them and does not say so: the clone is whole in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.drills.clones.plan import CloneDrill
from tests.support.drills.history import MAX_ORPHANED_AFTER_OUTAGE
from tests.support.proxy import Fault, Proxy
from tests.support.s3_gateway import Misdeed, S3Gateway

STEPS = 3
QUICK = {"CLONE_RETRY_SECONDS": "0.2", "FUNNEL_SWEEP_SECONDS": "1"}
FAILED_COPIES = 12
"""More than all copies of the first attempt with their repeats."""


@pytest.fixture
async def gateway(servers: dict[str, str]) -> AsyncIterator[S3Gateway]:
    async with S3Gateway(servers["S3_ENDPOINT_URL"]) as gateway:
        yield gateway


ALIKE = [pytest.param(misdeed, marks=pytest.mark.slow) for misdeed in ("503", "503, done", "broken off, done")]


@pytest.mark.parametrize("misdeed", ["error in 200", *ALIKE])
@pytest.mark.covers("FC-14", "FC-19", "FC-X2")
async def test_copies_that_fail_are_made_again(
    clone_drill: CloneDrill, gateway: S3Gateway, misdeed: Misdeed, figure: list[str]
) -> None:
    drill = clone_drill
    gateway.next.extend([misdeed] * FAILED_COPIES)
    planted = drill.plan.plant(STEPS)
    await drill.started(S3_ENDPOINT_URL=gateway.url, **QUICK)
    took = await drill.come_to_rest()
    drill.check()

    attempts = [step["attempts"] for step in drill.world.db["funnel.step"].find({"clone_id": planted.clone})]
    figure.append(f"{gateway.refused} copies refused; attempts of the steps {attempts}; whole after {took:.1f} s")
    assert gateway.refused == FAILED_COPIES


@pytest.mark.slow
@pytest.mark.parametrize("misdeed", ["hang", "hang, done"])
@pytest.mark.covers("FC-19")
async def test_copies_that_are_never_answered_are_made_again(
    clone_drill: CloneDrill, gateway: S3Gateway, misdeed: Misdeed, figure: list[str]
) -> None:
    gateway.next.extend([misdeed] * 2)
    clone_drill.plan.plant(STEPS)
    await clone_drill.started(S3_ENDPOINT_URL=gateway.url, **QUICK)
    took = await clone_drill.come_to_rest(timeout=90)
    clone_drill.check()
    figure.append(f"two copies without an answer; whole after {took:.1f} s")
    assert gateway.refused == 2


@pytest.mark.slow
@pytest.mark.covers("FC-19")
async def test_s3_goes_away_for_a_while(clone_drill: CloneDrill, servers: dict[str, str], figure: list[str]) -> None:
    drill = clone_drill
    async with Proxy.before(servers["S3_ENDPOINT_URL"]) as proxy:
        proxy.set(Fault(delay=0.02))
        planted = drill.plan.plant(10)
        daemon = await drill.started(
            S3_ENDPOINT_URL=proxy.instead_of(servers["S3_ENDPOINT_URL"]), CLONE_COPIES="1", **QUICK
        )
        await drill.until(lambda: drill.plan.done() > 0, "a step is done")
        done = drill.plan.done()
        await proxy.refuse()
        await drill.until(lambda: bool(daemon.said("step.attempt_failed")), "an attempt fails", 20)
        await proxy.accept()
        took = await drill.come_to_rest()
    drill.check(MAX_ORPHANED_AFTER_OUTAGE)
    runs = drill.plan.funnel(planted)["clone"]["attempts"]
    figure.append(f"{done} of 10 steps were done; whole {took:.1f} s after S3 was back, {runs} runs had failed")
    assert done < 10
