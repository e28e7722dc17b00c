"""Several imports at once: side by side, in fair turns, and none harmed by another's failure."""

from __future__ import annotations

import asyncio

import pytest

from pipeline_engine.domain.imports import coordinator, sweep
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.world import ENDLESS, SAMPLE, World

MAPPINGS = {"name": "name", "stage": "stage_id"}


def file_of(rows: int) -> str:
    return "name,stage\n" + "".join(f"Deal {n},Stage {n % 3}\n" for n in range(rows))


@pytest.mark.covers("DI-05", "DI-X15")
async def test_a_failing_import_does_not_touch_the_others(world: World, run_imports: RunImports) -> None:
    neighbour = world.neighbour()
    good = [world.submit(SAMPLE), neighbour.submit(SAMPLE), world.submit(file_of(700), MAPPINGS)]
    missing = neighbour.queue("imports/nowhere.csv")
    wrong = world.submit(SAMPLE, {"Deal Name": "account_id"})
    broken = world.submit(f'name,stage\nFine,won\n"never closed{ENDLESS}', MAPPINGS)

    result = await run_imports(import_retry_seconds=0.05)

    assert (result.units, result.succeeded, result.failed, result.busy) == (6, 3, 3, 0)
    assert [world.import_of(queue_id)["status"] for queue_id in good] == ["completed"] * 3
    assert [len(world.deals_of(queue_id)) for queue_id in good] == [3, 3, 700]
    assert [world.import_of(queue_id)["status"] for queue_id in (missing, wrong, broken)] == ["failed"] * 3
    assert len(world.deals_of(broken)) == 1
    neighbour.close()


async def test_a_name_that_two_imports_need_at_once_is_one_stage(world: World, run_imports: RunImports) -> None:
    ids = [world.submit(file_of(60), MAPPINGS) for _ in range(4)]

    await run_imports(import_chunk_rows=10)

    assert sorted(world.stage_names().values()) == ["stage 0", "stage 1", "stage 2"]
    assert [len(world.deals_of(queue_id)) for queue_id in ids] == [60] * 4


@pytest.mark.slow
@pytest.mark.covers("DI-05", "DI-X15", "R-15")
async def test_more_imports_than_places_take_turns(
    world: World, run_imports: RunImports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        coordinator, "LOOK_SECONDS", 0.05
    )  # they look whether others wait far more often than such a file takes
    ids = [world.submit(file_of(700), MAPPINGS) for _ in range(5)]

    result = await run_imports(import_slice_seconds=0.01, import_chunk_rows=4, import_chunks_ahead=2)

    assert (result.units, result.succeeded) == (5, 5)
    ended = [world.import_of(queue_id) for queue_id in ids]
    assert [len(world.deals_of(queue_id)) for queue_id in ids] == [700] * 5
    assert max(queue["token"] for queue in ended) > 1, "no run gave a place back"
    assert {queue["attempts"] for queue in ended} == {1}
    assert {queue["crashes"] for queue in ended} == {0}
    # The fourth got a place before the first three were through.
    assert sorted(queue["started_at"] for queue in ended)[3] < min(queue["completed_at"] for queue in ended)


@pytest.mark.covers("R-15")
async def test_every_account_in_turn_gives_its_oldest_import(world: World, app: EngineApp) -> None:
    neighbour = world.neighbour()
    heap = [world.queue("a.csv") for _ in range(40)]
    late = [neighbour.queue("a.csv") for _ in range(2)]
    neighbour.close()

    units = await sweep.find(app)

    assert [unit.id for unit in units[:5]] == [str(one) for one in (heap[0], late[0], heap[1], late[1], heap[2])]
    assert len(units) == sweep.MAX_FOUND
    assert {unit.account for unit in units} == {str(world.account), str(neighbour.account)}


@pytest.mark.covers("DI-01")
async def test_sweeps_that_overlap_run_every_import_once(world: World, run_imports: RunImports) -> None:
    ids = [world.submit(file_of(50), MAPPINGS) for _ in range(3)]

    results = await asyncio.gather(*[run_imports(import_chunk_rows=10) for _ in range(3)])

    assert [len(world.deals_of(queue_id)) for queue_id in ids] == [50] * 3
    assert [world.import_of(queue_id)["token"] for queue_id in ids] == [1] * 3
    assert sum(result.failed for result in results) == 0
