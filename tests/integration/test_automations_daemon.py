"""Automations in the production daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.automations import ago, automation_of, deal_of, tagged
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.world import World

TAG = ObjectId()


@pytest.fixture
async def daemon(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Daemon]:
    """One that looks by itself every ten minutes only."""
    daemon = Daemon({**environment, "AUTOMATION_SWEEP_SECONDS": "600"}, tmp_path, "daemon")
    await eventually(lambda: daemon.ready, "the daemon is ready", 30, daemon)
    yield daemon
    if daemon.alive:
        daemon.kill()


async def await_tag(world: World, daemon: Daemon, deal: ObjectId) -> None:
    await eventually(lambda: deal in tagged(world, TAG), "the deal is tagged", 30, daemon)


@pytest.mark.covers("DA-01", "DA-02")
async def test_a_deal_that_enters_is_acted_on_at_once(world: World, daemon: Daemon) -> None:
    automation = world.automation("add_tag", tag=TAG)
    await await_tag(world, daemon, world.deal())
    await eventually(lambda: not automation_of(world, automation).get("run"), "the first run has ended", 30, daemon)

    await await_tag(world, daemon, world.deal(automation_starts=ago(seconds=0)))

    elsewhere = world.deal(stage_id=ObjectId())
    world.db["deals"].update_one({"_id": elsewhere}, {"$set": {"stage_id": world.stage, "automation_starts": ago()}})
    await await_tag(world, daemon, elsewhere)

    # Far behind the watermark, as it says.
    await await_tag(world, daemon, world.deal(automation_starts=ago(hours=5)))


@pytest.mark.covers("DA-02")
async def test_a_deal_of_a_crm_whose_clock_is_ahead_is_acted_on_when_its_time_has_come(
    world: World, daemon: Daemon
) -> None:
    world.automation("add_tag", tag=TAG)
    starts = ago(seconds=-1)
    deal = world.deal(automation_starts=starts)
    await await_tag(world, daemon, deal)
    assert deal_of(world, deal)["updatedAt"] >= starts


@pytest.mark.covers("DA-X7")
async def test_a_flag_is_heard_whether_the_list_is_new_or_longer(world: World, daemon: Daemon) -> None:
    automation = world.automation("note", note="x")
    deal = world.deal(skip_automations=[automation], retry_automations=[])

    world.db["deals"].update_one({"_id": deal}, {"$push": {"retry_automations": automation}})
    await eventually(lambda: world.db["notes"].count_documents({}) == 1, "the first note", 30, daemon)
    world.db["deals"].update_one({"_id": deal}, {"$set": {"retry_automations": [automation]}})
    await eventually(lambda: world.db["notes"].count_documents({}) == 2, "the second note", 30, daemon)


@pytest.mark.covers("DA-X2")
async def test_a_run_whose_process_vanished_goes_on_long_before_the_next_sweep(world: World, daemon: Daemon) -> None:
    left = {"run": {"id": "x", "told": True}, "is_running": True, "lease_owner": "gone", "token": 7}
    automation = world.automation("add_tag", tag=TAG, status="INACTIVE", module="DEAL")
    deal = world.deal()
    world.db["automations"].update_one({"_id": automation}, {"$set": {**left, "lease_until": ago(seconds=-4)}})

    await eventually(lambda: not automation_of(world, automation)["is_running"], "the run is taken up", 30, daemon)

    assert automation_of(world, automation)["run"] is None
    assert deal not in tagged(world, TAG)
    assert await daemon.terminate() < 25
    assert daemon.exit_code == 0
