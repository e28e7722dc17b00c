"""An import from the queue document to the deals, through Redis, in one process."""

from __future__ import annotations

import pytest

from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.world import SAMPLE, World


@pytest.mark.covers("DI-02", "DI-13", "DI-16", "DI-17", "DI-19", "DI-25")
async def test_the_seeds_own_queue_item_becomes_three_deals(
    world: World, configured: Settings, key_prefix: str
) -> None:
    queue_id = world.queue(world.upload(f"{key_prefix}test-import.csv", SAMPLE))

    (result,) = (await run_once(configured, ["deals.import"])).results

    assert (result.units, result.succeeded, result.failed, result.busy) == (1, 1, 0, 0)
    ended = world.import_of(queue_id)
    assert (ended["status"], ended["in_progress"]) == ("completed", False)
    assert world.report_of(queue_id)["total_records_added"] == 3
    names = world.stage_names()
    deals = [(deal["name"], deal["value"], names[deal["stage_id"]]) for deal in world.deals_of(queue_id)]
    assert deals == [
        ("Acme Corp Deal", 5000.0, "qualified"),
        ("TechStart Deal", 12000.0, "proposal"),
        ("Global Inc Deal", 25000.0, "negotiation"),
    ]
