"""What moves a deal out of the stage goes last, so that the others of the stage are not lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.automations import ago, automation_of, deal_of, due, run, timed, work_off
from tests.support.engine_app import EngineApp
from tests.support.world import World

TAG, NEXT = ObjectId(), ObjectId()


def moved(world: World, deal: ObjectId) -> bool:
    return bool(deal_of(world, deal)["stage_id"] == NEXT)


@pytest.mark.covers("DA-X9")
async def test_one_pass_does_all_and_moves_last(world: World, configured: Settings) -> None:
    mover = world.automation("stage", target_stage_id=NEXT)
    before = [world.automation("add_tag", tag=TAG), world.automation("note", note="x")]
    deal = world.deal()

    (result,) = (await run_once(configured, ["deals.automations"])).results

    assert (result.units, result.succeeded) == (2, 2)
    changed = deal_of(world, deal)
    assert (changed["tags"], changed["stage_id"]) == ([TAG], NEXT)
    # The tag and the note may have come in either order.
    assert sorted(changed["automation_triggered"][:2]) == before
    assert changed["automation_triggered"][2] == mover


@pytest.mark.parametrize(
    ("sibling", "deal", "waits"),
    [
        ({}, {}, True),
        ({"reentry": "per_entry"}, {}, True),
        ({"account_id": "text"}, {}, True),
        ({"delay": 3600}, {}, False),
        ({"createdAt": timedelta(minutes=5)}, {}, False),
        ({"status": "INACTIVE"}, {}, False),
        ({"paused_until": timedelta(hours=-1)}, {}, False),
        ({"paused_until": timedelta(hours=1)}, {}, True),
        ({"delay": "soon"}, {}, False),
        ({"type": "fax"}, {}, False),
        ({"type": "stage", "target_stage_id": ObjectId()}, {}, False),
        ({}, {"automation_triggered": "sibling"}, False),
        ({}, {"automation_failed": "sibling"}, False),
        ({}, {"skip_automations": "sibling"}, False),
        ({}, {"automation_triggered": "sibling", "retry_automations": "sibling"}, True),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else ",".join(map(str, value)) or "plain",
)
@pytest.mark.covers("DA-X9")
async def test_the_mover_waits_for_whatever_is_due_for_the_deal(
    world: World, app: EngineApp, sibling: dict[str, Any], deal: dict[str, Any], waits: bool
) -> None:
    if "account_id" in sibling:
        sibling = {"account_id": str(world.account)}
    other = world.automation(**{"type": "add_tag", "tag": TAG, **timed(sibling)})
    mover = world.automation("stage", target_stage_id=NEXT)
    waiting = world.deal(**{name: [other] for name in deal})

    assert (mover in await due(app)) is not waits
    await run(app, mover)

    assert moved(world, waiting) is not waits


@pytest.mark.covers("DA-X9")
async def test_a_sibling_that_is_due_again_for_another_entry_is_waited_for(world: World, app: EngineApp) -> None:
    other = world.automation("add_tag", tag=TAG, reentry="per_entry")
    mover = world.automation("stage", target_stage_id=NEXT)
    done = {"automation_triggered": [other], "automation_generation": {str(other): {"entry": ago(hours=2)}}}
    deal = world.deal(**done)

    await run(app, mover)
    assert not moved(world, deal)
    await run(app, other)
    await run(app, mover)

    assert moved(world, deal)
    assert deal_of(world, deal)["tags"] == [TAG]


@pytest.mark.covers("DA-X9")
async def test_deals_that_waited_are_not_lost_from_sight(world: World, listening: EngineApp) -> None:
    mover = world.automation("stage", target_stage_id=NEXT)
    other = world.automation("add_tag", tag=TAG, createdAt=ago(minutes=8))
    free, waiting = world.deal(), world.deal(automation_starts=ago(minutes=7))
    await run(listening, mover)
    assert (moved(world, free), moved(world, waiting)) == (True, False)

    await run(listening, other)

    assert await work_off(listening) == {mover}
    assert moved(world, waiting)
    assert automation_of(world, mover)["run"] is None
