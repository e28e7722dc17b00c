"""Lead pipelines in the production daemon: everything is noticed at once, though it sweeps every ten minutes only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.leads import action, enter, entered, entry, lead, lead_of, reply, rows, stage
from tests.support.world import World


@pytest.fixture
async def daemon(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon({**environment, "LEADS_SWEEP_SECONDS": "600"}, tmp_path, "daemon")
    await eventually(lambda: daemon.ready, "the daemon is ready", 30, daemon)
    yield daemon
    if daemon.alive:
        daemon.kill()


@pytest.mark.covers("LP-12", "LP-13")
async def test_a_daemon_acts_waits_and_hears_of_replies_and_exits(world: World, daemon: Daemon) -> None:
    wait = action("wait_for_response", channel="any", timeout_seconds=600)
    here = stage(world, action("note", note="x"), action("wait", seconds=1), wait, action("add_tag", tag="replied"))
    one, first = entered(world, here)
    other, second = entered(world, here)

    def waits() -> bool:
        return all(entry(world, each).get("current_status") == "waiting_response" for each in (first, second))

    await eventually(waits, "both wait for a reply", 20, daemon)
    performed = rows(world, first)[1]
    assert (performed["performed_at"] - performed["perform_at"]).total_seconds() < 20

    reply(world, one, received_at=datetime.now(UTC))
    await eventually(lambda: lead_of(world, one)["tags"] == ["replied"], "it goes on", 20, daemon)
    world.db["leads"].update_one({"_id": other}, {"$set": {"status": "won"}})
    await eventually(lambda: entry(world, second)["status"] == "cancelled", "it ends", 20, daemon)


@pytest.mark.slow
@pytest.mark.covers("LP-10", "LP-13", "LP-14")
async def test_an_account_with_very_many_leads_holds_up_no_other(world: World, daemon: Daemon) -> None:
    other = world.neighbour()
    crowd = stage(world, action("note", note="x"), action("add_tag", tag="x"), action("move", outcome="lost"))
    leads = [lead(world) for _ in range(1500)]
    enter(world, crowd, *leads)
    _, theirs = entered(other, stage(other, action("add_tag", tag="x")))

    started = time.monotonic()
    await eventually(lambda: entry(other, theirs)["status"] == "completed", "the neighbour's turn", 20, daemon)
    taken = time.monotonic() - started

    def ended() -> bool:
        return world.db["lead_stages"].count_documents({"account_id": world.account, "status": "completed"}) == 1500

    await eventually(ended, "the crowd has ended", 60, daemon)
    assert taken < 5
    assert world.db["notes"].count_documents({}) == 1500
    other.close()
