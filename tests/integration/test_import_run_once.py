"""`run-once`: counts what it did, leaves alone what others hold, and leaves nothing behind in Redis."""

from __future__ import annotations

import pytest

from pipeline_engine.domain.imports import sweep
from pipeline_engine.domain.imports.jobs import IMPORT
from pipeline_engine.errors import ConfigError
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.world import SAMPLE, World


async def test_the_result_counts_units_and_jobs(world: World, run_imports: RunImports) -> None:
    world.submit("name\n" + "Deal\n" * 40, {"name": "name"})
    world.submit(SAMPLE)
    world.submit(SAMPLE, {"Deal Name": "owner"})

    result = await run_imports(import_chunk_rows=10)

    assert (result.name, result.units, result.succeeded, result.failed, result.busy) == ("deals.import", 3, 2, 1, 0)
    assert result.jobs == 3 + 4 + 1
    assert 0 < result.seconds < 60
    assert result.skipped is None


async def test_all_that_is_due_is_done_however_much_it_is(world: World, run_imports: RunImports) -> None:
    key = world.upload(f"imports/{world.account}/one.csv", "name\nDeal\n")
    ids = [world.queue(key, {"name": "name"}) for _ in range(sweep.MAX_FOUND + 5)]

    result = await run_imports()

    assert (result.units, result.succeeded, result.busy) == (len(ids), len(ids), 0)
    assert [len(world.deals_of(queue_id)) for queue_id in ids] == [1] * len(ids)


async def test_nothing_due_is_nothing_done(world: World, run_imports: RunImports) -> None:
    world.queue("a.csv", status="completed")

    result = await run_imports()

    assert (result.units, result.jobs, result.succeeded, result.failed, result.busy) == (0, 0, 0, 0, 0)


async def test_what_others_hold_is_not_touched_and_counts_as_busy(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    held, flagged, free = world.submit(SAMPLE), world.submit(SAMPLE, in_progress=True), world.submit(SAMPLE)
    assert await app.repos.imports.claim(held) is not None
    before = world.import_of(held), world.import_of(flagged)

    result = await run_imports()

    assert (result.units, result.succeeded, result.failed, result.busy) == (3, 1, 0, 2)
    assert (world.import_of(held), world.import_of(flagged)) == before
    assert world.import_of(free)["status"] == "completed"


async def test_what_another_takes_meanwhile_is_busy(world: World, app: EngineApp) -> None:
    queue_id = world.submit(SAMPLE)
    units = await sweep.find(app)
    await app.repos.imports.claim(queue_id)

    assert await sweep.outcomes(app, [unit.id for unit in units]) == {str(queue_id): "busy"}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("completed", "succeeded"), ("failed", "failed"), ("cancelled", "failed"), ("pending", "busy")],
)
async def test_how_an_import_ended_is_how_the_unit_ended(
    world: World, app: EngineApp, status: str, outcome: str
) -> None:
    queue_id = world.queue("a.csv", status=status)

    assert await sweep.outcomes(app, [str(queue_id)]) == {str(queue_id): outcome}


async def test_jobs_of_a_running_daemon_stay_its_own(world: World, app: EngineApp, run_imports: RunImports) -> None:
    world.submit(SAMPLE)
    await dispatch(app, await sweep.find(app))

    result = await run_imports()

    assert result.succeeded == 1
    assert (await app.queue.counts([IMPORT.lane.name]))[IMPORT.lane.name].waiting == 1


async def test_nothing_stays_in_redis_for_ever(world: World, app: EngineApp, run_imports: RunImports) -> None:
    world.submit(SAMPLE)
    world.queue("imports/missing.csv")

    await run_imports(import_retry_seconds=0.05)

    ours = [key async for key in app.redis.scan_iter(f"{app.settings.redis_prefix}*")]
    assert [key for key in ours if not 0 < await app.redis.ttl(key) <= 2 * 3600] == []


async def test_without_names_every_sweep_that_is_switched_on_runs(world: World, configured: Settings) -> None:
    queue_id = world.submit(SAMPLE)

    results = {result.name: result for result in (await run_once(configured, [])).results}

    assert results["deals.import"].succeeded == 1
    assert results["events.outbox"].succeeded == 2  # the socket event and the CRM event
    assert world.import_of(queue_id)["status"] == "completed"


@pytest.mark.covers("DI-01")
async def test_a_system_that_is_switched_off_does_not_run(world: World, configured: Settings) -> None:
    queue_id = world.submit(SAMPLE)

    results = (await run_once(configured.model_copy(update={"qm_deals": False}), [])).results

    assert "deals.import" not in {result.name for result in results}
    assert world.import_of(queue_id)["status"] == "pending"


async def test_an_unknown_sweep_is_named_with_the_known_ones(configured: Settings) -> None:
    with pytest.raises(ConfigError, match=r"deals\.exports.*deals\.import"):
        await run_once(configured, ["deals.import", "deals.exports"])


async def test_a_switched_off_system_that_is_named_is_skipped_with_the_reason(
    world: World, run_imports: RunImports
) -> None:
    queue_id = world.submit(SAMPLE)

    result = await run_imports(qm_deals=False)

    assert result.skipped == "switched off"
    assert (result.units, result.failed, result.busy) == (0, 0, 0)
    assert world.import_of(queue_id)["status"] == "pending"
