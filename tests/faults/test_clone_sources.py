"""The source is written anew or deleted while it is cloned: a step is as it was read, or the clone fails clearly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.support.drills.clones.plan import CloneDrill, Planted
from tests.support.proxy import Fault, Proxy

STEPS = 10
SLOW = {"CLONE_COPIES": "1", "FUNNEL_SWEEP_SECONDS": "1", "CLONE_RETRY_SECONDS": "0.2"}

COMPONENTS = "mongo.funnel.step.components.find"
HALF_READ = 4
"""The first three finds are the plan's; with the fourth a step's components are read, after its HTML."""


@pytest.fixture
async def slow_s3(servers: dict[str, str]) -> AsyncIterator[str]:
    """Where S3 is to be found, slowly."""
    async with Proxy.before(servers["S3_ENDPOINT_URL"]) as proxy:
        proxy.set(Fault(delay=0.02))
        yield proxy.instead_of(servers["S3_ENDPOINT_URL"])


@pytest.mark.slow
@pytest.mark.covers("FC-X2")
async def test_a_source_that_is_written_anew(clone_drill: CloneDrill, slow_s3: str, figure: list[str]) -> None:
    drill, planted = clone_drill, clone_drill.plan.plant(STEPS)
    await drill.started(S3_ENDPOINT_URL=slow_s3, **SLOW)
    for version in range(1, 4):
        await drill.until(lambda: drill.plan.done() >= 2 * version, f"{2 * version} steps are done")  # noqa: B023
        drill.plan.edit(planted, f"<p>version {version}</p>")
    done = drill.plan.done()
    await drill.come_to_rest()
    drill.check()
    figure.append(f"written anew 3 times, the last time when {done} of {STEPS} steps were done; each is as one version")
    assert done < STEPS


@pytest.mark.slow
@pytest.mark.covers("FC-X2")
async def test_a_step_that_is_written_anew_while_it_is_read(clone_drill: CloneDrill) -> None:
    drill, planted = clone_drill, clone_drill.plan.plant(2)
    plan = {"failpoint": COMPONENTS, "nth": HALF_READ, "when": "before", "do": "delay", "seconds": 2}
    daemon = await drill.started(FAULT_PLAN=json.dumps(plan))
    await drill.until(
        lambda: f"{COMPONENTS} {HALF_READ} before" in daemon.failpoints.read_text(), "a step is half read"
    )
    drill.plan.edit(planted, "<p>new</p>")
    await drill.come_to_rest()
    drill.check()


@pytest.mark.slow
@pytest.mark.covers("FC-07", "FC-X8", "FC-X16")
async def test_a_source_that_is_deleted_with_all_it_has(
    clone_drill: CloneDrill, slow_s3: str, figure: list[str]
) -> None:
    drill, planted = clone_drill, clone_drill.plan.plant(STEPS)
    await drill.started(S3_ENDPOINT_URL=slow_s3, **SLOW)
    await drill.until(lambda: drill.plan.done() > 0, "a step is done")
    done = drill.plan.done()
    _delete(drill, planted)
    took = await drill.come_to_rest()

    funnel = drill.plan.funnel(planted)
    figure.append(f"deleted when {done} of {STEPS} steps were done; failed after {took:.1f} s: {funnel['error']}")
    assert done < STEPS
    assert (funnel["pending"], funnel["in_progress"], funnel["clone_failed"]) == (False, False, True)
    assert funnel["original_funnel_deleted"] is True
    assert str(planted.original.id) in funnel["clone"]["error"]
    sent = [one["event"] for one in drill.world.db["outbox"].find() if "progress" not in one["event"]]
    assert sent == ["funnel_cloning_failed"]
    _nothing_lies_about(drill, planted)


def _delete(drill: CloneDrill, planted: Planted) -> None:
    db, original = drill.world.db, planted.original
    db["funnels"].delete_one({"_id": original.id})
    for name in ("funnel.step", "funnel.step.components"):
        db[name].delete_many({"funnel_id": original.id})
    db["sites_images"].delete_many({"ref_id": original.id})
    db["forms"].delete_many({"account_id": drill.world.account})


def _nothing_lies_about(drill: CloneDrill, planted: Planted) -> None:
    """What was copied has records, so that it can be cleared away, and no run holds anything."""
    case = drill.plan.case(planted)
    assert case.objects.keys() <= {one["key"] for one in (*case.images, *planted.versions[0].images)}
    assert {one["lease_owner"] for one in case.steps} <= {None}
    assert {one["in_progress"] for one in case.steps} <= {False}
