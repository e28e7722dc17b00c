"""CRM events in the production daemon and in `run-once`, inserted by a plain MongoDB client."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline_engine.domain.consumers import attempt
from pipeline_engine.domain.events.jobs import CONSUME
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.crm_events import Spy, contact, contact_of, created, event_of, insert, letters, members
from tests.support.daemon import Daemon
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World


def left(world: World) -> int:
    return world.db["crm_events"].count_documents({"$or": [{"status": "new"}, {"onward": "activity"}]})


@pytest.mark.covers("CL-04", "CL-07", "CL-08", "CL-X2")
async def test_daemons_consume_every_event_once_and_notice_it_at_once(
    world: World, app: EngineApp, environment: dict[str, str], tmp_path: Path
) -> None:
    users = members(world, 3)
    given = {**environment, "EVENT_SWEEP_SECONDS": "600", "QUEUE_MAX_JOBS_PER_SECOND": "50"}
    daemons = [Daemon(given, tmp_path, f"daemon{n}") for n in range(2)]
    try:
        for daemon in daemons:
            await eventually(lambda daemon=daemon: daemon.ready, "the daemon is ready", 40, daemon)  # type: ignore[misc]
        first = created(world, contact(world))
        started = time.monotonic()
        await eventually(lambda: event_of(world, first)["status"] == "done", "one is consumed", 20, *daemons)
        assert time.monotonic() - started < 5  # not by a sweep's interval

        ids = [contact(world) for _ in range(299)]
        for n, id in enumerate(ids):
            created(world, id, at=n)
            if n % 60 == 0:
                for _ in range(5):
                    await CONSUME.enqueue(app.queue, [world.account])
        await eventually(lambda: left(world) == 0, "all are consumed and logged", 60, *daemons)

        owners = Counter(one["owner"] for one in world.db["contacts"].find())
        assert owners == dict.fromkeys(users, 100)
        assert (world.db["activity_log"].count_documents({}), world.db["activities"].count_documents({})) == (300, 300)
        assert letters(world) == []
        daemons[0].kill()
        last = created(world, contact(world))
        await eventually(lambda: event_of(world, last)["status"] == "done", "the other one goes on", 30, *daemons)
    finally:
        for daemon in daemons:
            if daemon.alive:
                daemon.kill()


@pytest.mark.covers("CL-03", "CL-09")
async def test_run_once_waits_for_retries_and_counts_events(
    world: World, app: EngineApp, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr(attempt, "CONSUMERS", (spy.consumer,))
    ids = [created(world, contact(world), at=n) for n in range(250)]
    behind = created(world, world.db["contacts"].find()[3]["_id"], at=1000)
    bad = insert(world, "contact.created", {"contact_id": "x", "id": 1}, at=-1)
    spy.failing = {ids[3]}

    class Once(set[object]):
        def __contains__(self, item: object) -> bool:
            found = super().__contains__(item)
            self.discard(item)
            return found

    spy.failing = Once({ids[3]})
    broken = insert(world, "deal.won", {})

    (result,) = (await run_once(configured, ["events.outbox"])).results

    assert (result.units, result.succeeded, result.failed, result.busy) == (253, 252, 1, 0)
    assert [event_of(world, id)["status"] for id in (ids[3], behind, bad, broken)] == ["done", "done", "done", "dead"]
    assert spy.seen.count(ids[3]) == 2
    assert spy.seen.index(behind) > len(spy.seen) - 3
    assert world.db["activity_log"].count_documents({}) == 253


@pytest.mark.covers("CL-31")
async def test_events_stay_where_they_are_while_they_are_switched_off(world: World, configured: Settings) -> None:
    id = created(world, contact(world))
    off = configured.model_copy(update={"qm_events": False})

    (result,) = (await run_once(off, ["events.outbox"])).results

    assert (result.units, event_of(world, id)["status"]) == (0, "new")
    assert "lead_score" not in contact_of(world, world.db["contacts"].find()[0]["_id"])


@pytest.mark.covers("CL-29")
def test_the_seeds_legacy_agent_jobs_do_not_exist() -> None:
    """Event trigger, resume and scheduled agents are archived in the seed: nothing of this engine runs them."""
    from pipeline_engine import workers

    names = [*workers.sweeps(), *workers.lanes()]
    names += [kind.name for system in workers.SYSTEMS for kind in system.handlers]
    assert [name for name in names if "agent" in name.lower()] == []
