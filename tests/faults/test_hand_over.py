"""SIGTERM in mid-import: the daemon leaves at once, leaves nothing held, and the next one goes on."""

from __future__ import annotations

import json

import pytest
from bson import ObjectId

from pipeline_engine.embedded.redis import Redis
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill

ROWS = 9_600
CHUNKS = 480
"""So many that a fast machine does not end the import while daemons start and stop."""
SETTINGS = {"IMPORT_CHUNK_ROWS": str(ROWS // CHUNKS)}
MAX_STOP_SECONDS = 25.0
"""Seconds from SIGTERM to the end, whatever happens."""
USUAL_STOP_SECONDS = 5.0
MAX_TAKEOVER_SECONDS = 2.0
"""Seconds from the successor's start to its first chunk."""


@pytest.mark.slow
async def test_the_successor_goes_on_at_once(drill: ImportDrill, figure: list[str]) -> None:
    queue_id = drill.plan.plant(csv_file(ROWS))
    daemon = await drill.started(**SETTINGS)
    await drill.progress(CHUNKS // 10)

    left_after = await daemon.terminate(within=MAX_STOP_SECONDS)

    assert daemon.exit_code == 0, daemon.tail()
    assert left_after < USUAL_STOP_SECONDS
    done = _nothing_held(drill, queue_id)
    await drill.started(**SETTINGS)
    went_on = await drill.progress(done + 1)
    assert went_on < MAX_TAKEOVER_SECONDS
    await drill.come_to_rest()
    drill.check()
    _one_attempt(drill, queue_id)
    figure.append(f"exit 0 after {left_after:.1f} s, the successor's first chunk {went_on:.1f} s after its start")


@pytest.mark.slow
@pytest.mark.covers("R-29")
async def test_it_leaves_without_redis_too(drill: ImportDrill, own_redis: Redis, figure: list[str]) -> None:
    queue_id = drill.plan.plant(csv_file(ROWS))
    daemon = await drill.started(**SETTINGS, REDIS_URL=own_redis.url)
    await drill.progress(CHUNKS // 10)
    await own_redis.stop()

    left_after = await daemon.terminate(within=MAX_STOP_SECONDS)

    assert daemon.exit_code == 0, daemon.tail()
    _nothing_held(drill, queue_id)
    await own_redis.start()
    await drill.started(**SETTINGS, REDIS_URL=own_redis.url)
    await drill.come_to_rest()
    drill.check()
    _one_attempt(drill, queue_id)
    figure.append(f"Redis stopped: exit 0 after {left_after:.1f} s")


@pytest.mark.slow
async def test_it_leaves_while_redis_hangs(drill: ImportDrill, own_redis: Redis, figure: list[str]) -> None:
    queue_id = drill.plan.plant(csv_file(ROWS))
    daemon = await drill.started(**SETTINGS, REDIS_URL=own_redis.url)
    await drill.progress(CHUNKS // 10)
    own_redis.program.pause()

    left_after = await daemon.terminate(within=MAX_STOP_SECONDS)

    assert daemon.exit_code == 0, daemon.tail()
    _nothing_held(drill, queue_id)
    own_redis.program.resume()
    await drill.started(**SETTINGS, REDIS_URL=own_redis.url)
    await drill.come_to_rest()
    drill.check()
    _one_attempt(drill, queue_id)
    figure.append(f"Redis hanging: exit 0 after {left_after:.1f} s")


@pytest.mark.slow
async def test_a_run_that_does_not_end_is_cut_off(drill: ImportDrill, figure: list[str]) -> None:
    hang = json.dumps({"failpoint": "mongo.deals.insert_many", "nth": 20, "do": "hang"})
    queue_id = drill.plan.plant(csv_file(ROWS))
    daemon = await drill.started(**SETTINGS, SHUTDOWN_GRACE="1", FAULT_PLAN=hang)
    await drill.progress(CHUNKS // 4)

    left_after = await daemon.terminate(within=MAX_STOP_SECONDS)

    assert daemon.exit_code == 0, daemon.tail()
    _nothing_held(drill, queue_id)
    await drill.started(**SETTINGS)
    await drill.come_to_rest()
    drill.check()
    _one_attempt(drill, queue_id)
    figure.append(f"with a grace of 1 s: exit 0 after {left_after:.1f} s")


@pytest.mark.slow
async def test_it_is_handed_over_five_times(drill: ImportDrill, figure: list[str]) -> None:
    queue_id = drill.plan.plant(csv_file(ROWS))
    left_after = []
    for tenth in range(1, 6):
        daemon = await drill.started(**SETTINGS)
        await drill.progress(CHUNKS * tenth // 10)
        left_after.append(await daemon.terminate(within=MAX_STOP_SECONDS))
        assert daemon.exit_code == 0, daemon.tail()
        _nothing_held(drill, queue_id)
    await drill.started(**SETTINGS)
    await drill.come_to_rest()
    drill.check()
    _one_attempt(drill, queue_id)
    figure.append(f"five hand-overs: exit 0 after at most {max(left_after):.1f} s")


def _nothing_held(drill: ImportDrill, queue_id: ObjectId) -> int:
    """Returns how many chunks are done."""
    db = drill.world.db
    held = {"lease_owner": {"$ne": None}}
    assert [*db["queues"].find(held), *db["import_chunks"].find(held)] == []
    queue = drill.world.import_of(queue_id)
    assert (queue["status"], queue["in_progress"], queue["lease_until"]) == ("processing", False, None)
    done = drill.plan.done()
    assert done < CHUNKS, "the import was over before the daemon was"
    return done


def _one_attempt(drill: ImportDrill, queue_id: ObjectId) -> None:
    """A hand-over is no failure: neither the import nor any of its chunks has used up an attempt or counts a crash."""
    queue = drill.world.import_of(queue_id)
    assert (queue["attempts"], queue["crashes"]) == (1, 0)
    crashed = {"queue_id": queue_id, "crashes": {"$gt": 0}}
    assert drill.world.db["import_chunks"].count_documents(crashed) == 0
