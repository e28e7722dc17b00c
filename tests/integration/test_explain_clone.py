"""`explain clone`: what is done, what waits for what, what failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.explain import explain
from pipeline_engine.domain.funnels.plan import run_plan
from pipeline_engine.errors import Permanent
from tests.integration.conftest import RunClones
from tests.support.engine_app import EngineApp
from tests.support.funnels import Original, new_clone, steps_of
from tests.support.world import World

HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    """The time of the test; parameters and constants of the module are made too early."""
    return datetime.now(UTC).replace(microsecond=0)


def cases(now: datetime) -> list[tuple[dict[str, Any], str, timedelta | None, str]]:
    """What the funnel says beyond a pending clone; what follows, how long after its time, and why."""
    return [
        ({}, "runs", None, "next sweep"),
        ({"in_progress": True, "lease_owner": "host:1:aa", "lease_until": now + HOUR}, "runs", None, "host:1:aa"),
        ({"in_progress": True, "lease_owner": "host:1:aa", "lease_until": now - HOUR}, "runs", None, "next sweep"),
        ({"in_progress": True, "updatedAt": now + HOUR}, "waits", timedelta(minutes=10), "another engine"),
        (
            {"clone": {"next_at": now + HOUR, "attempts": 1, "error": "S3"}},
            "retries",
            timedelta(0),
            "run 1 of 3 failed: S3",
        ),
        ({"clone": {"cancel_requested": True}}, "ends", None, "cancelled"),
        ({"original_funnel_id": ObjectId("0" * 24)}, "fails", None, "Original Funnel not found"),
        ({"pending": False, "clone": {"finished_at": now, "error": "bad"}}, "never", None, "`funnels retry`"),
        ({"pending": False, "clone": {"finished_at": now, "error": None}}, "never", None, "it was completed"),
    ]


async def test_what_happens_next(app: EngineApp, world: World, now: datetime) -> None:
    original = Original(world, steps=1)
    for changes, what, after, why in cases(now):
        found = await explain(app, new_clone(world, original, **changes))
        world.db["funnels"].delete_many({"_id": found.funnel})
        assert found.next.what == what, changes
        assert why in found.next.why, changes
        if after is not None:
            assert found.next.at == now + HOUR + after


async def test_steps_that_are_open_are_named_with_who_holds_them(app: EngineApp, world: World) -> None:
    clone = new_clone(world, Original(world, steps=3))
    await run_plan(app, CloneCache(1), clone)
    first, second, third = steps_of(world, clone)
    await app.repos.funnel_steps.claim(first["_id"])
    world.db["funnel.step"].update_one({"_id": second["_id"]}, {"$set": {"clone_state": "failed", "last_error": "why"}})

    found = await explain(app, clone)

    assert (found.status, found.next.what) == ("running", "runs")
    assert "2 steps wait or run" in found.next.why
    assert [(one.step, one.state) for one in found.steps] == [
        (first["_id"], "open"),
        (second["_id"], "failed"),
        (third["_id"], "open"),
    ]
    assert [one.owner for one in found.steps] == [app.owner, None, None]
    assert found.steps[1].error == "why"


async def test_a_clone_waits_for_others_of_its_account(app: EngineApp, world: World) -> None:
    original = Original(world, steps=1)
    for _ in range(3):
        await run_plan(app, CloneCache(1), new_clone(world, original))

    found = await explain(app, new_clone(world, original))

    assert (found.next.what, "3 clones under way" in found.next.why) == ("waits", True)


async def test_a_clone_that_ran_to_its_end(app: EngineApp, world: World, run_clones: RunClones) -> None:
    clone = new_clone(world, Original(world, steps=2))
    await run_clones()

    found = await explain(app, clone)

    assert (found.status, found.next.what) == ("completed", "never")
    assert found.manifest["copied"]["steps"] == 2
    assert len(found.warnings) == 1


async def test_what_is_no_clone_is_said(app: EngineApp, world: World) -> None:
    for id in (ObjectId(), Original(world, steps=1).id):
        with pytest.raises(Permanent, match=f"no clone {id}"):
            await explain(app, id)
