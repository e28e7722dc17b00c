"""Options of `additional_data`: a typo refuses the import, and a dry run writes nothing but its report."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import RunImports
from tests.support.world import World

MAPPINGS = {"Deal Name": "name", "Stage": "stage_id", "Contact Email": "contact_email"}
FILE = (
    "Deal Name,Stage,Contact Email\n"
    "Old 1,Inbox,o1@post.example\n"
    "Old 2,Inbox,o2@post.example\n"
    "Old 3,Brand new stage,o3@post.example\n"
)


@pytest.mark.covers("DI-22")
@pytest.mark.parametrize("typo", [{"delimeter": ";"}, {"duplicates": {"by": ["name"], "policy": "update"}}], ids=str)
async def test_an_option_that_is_not_understood_refuses_the_import_at_once(
    world: World, run_imports: RunImports, typo: dict[str, Any]
) -> None:
    queue_id = world.submit(FILE, MAPPINGS, options=typo)

    await run_imports()

    failed = world.import_of(queue_id)
    assert (failed["status"], failed["attempts"]) == ("failed", 1)
    assert all(name in failed["error"] for name in typo)
    assert world.db["deals"].count_documents({}) == 0


async def test_a_dry_run_reads_everything_and_writes_only_its_report(world: World, run_imports: RunImports) -> None:
    inbox = {"_id": world.stage, "name": "Inbox", "account_id": world.account, "pipeline_id": world.pipeline}
    world.db["pipeline_stages"].insert_one({**inbox, "position": 0})
    automation = world.automation("note", note="came by file")
    queue_id = world.submit(FILE + ",Inbox,\n", MAPPINGS, options={"dry_run": True, "delete_csv": True})

    await run_imports(import_chunk_rows=2)

    ended, report = world.import_of(queue_id), world.report_of(queue_id)
    assert ended["status"] == "completed"
    figures = [ended["progress"][f"rows_{name}"] for name in ("read", "added", "failed")]
    assert figures == [4, 3, 1]
    assert (report["dry_run"], report["total_records_added"], report["total_errors"]) == (True, 3, 1)
    assert report["outlook"] == [
        "would create the stage 'Brand new stage'",
        f"2 deals would get automation {automation} (note) in stage 'Inbox'",
    ]
    assert [int(row["_row"]) for row in world.error_csv_of(queue_id)] == [4]
    assert world.db["deals"].count_documents({}) == 0
    assert list(world.db["pipeline_stages"].find()) == [{**inbox, "position": 0}]
    assert ended["csv"][0]["key"] in world.keys(f"imports/{world.account}/")
    events = list(world.db["outbox"].find())
    assert [event.get("event") or event.get("type") for event in events] == ["import_finished"]
    assert events[0]["data"]["dry_run"] is True


async def test_a_dry_run_whose_option_is_taken_away_half_way_does_not_count_its_rows_as_deals(
    world: World, run_imports: RunImports
) -> None:
    queue_id = world.submit(FILE, MAPPINGS, options={"dry_run": True})
    await run_imports()
    done = {"status": "processing", "additional_data": {"pipeline_id": world.pipeline}}
    world.db["queues"].update_one({"_id": queue_id}, {"$set": done})

    await run_imports()

    assert world.import_of(queue_id)["status"] == "failed"
    assert "dry_run was changed" in world.import_of(queue_id)["error"]
