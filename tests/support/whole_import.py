"""An import of 400 rows of which every hundredth is bad, and what stands when it is whole."""

from __future__ import annotations

from bson import ObjectId

from tests.support.world import World

MAPPINGS = {"name": "name", "value": "value", "stage": "stage_id"}
ROWS = 400
PADDING = "x" * 1_000
FILE = "name,value,stage,note\n" + "".join(
    f"Deal {n},{n},{'' if n % 100 == 7 else 'won'},{PADDING}\n" for n in range(ROWS)
)
"""Long enough to be cut in several goes."""
BAD = ROWS // 100


def assert_whole(world: World, queue_id: ObjectId) -> None:
    """Every row of FILE is one deal or one error, and document, report and chunks agree."""
    ended, report = world.import_of(queue_id), world.report_of(queue_id)
    assert (ended["status"], ended["in_progress"], ended["error"]) == ("completed", False, None)
    rows = [deal["import_row"] for deal in world.deals_of(queue_id)]
    wrong = [int(row["_row"]) for row in world.error_csv_of(queue_id)]
    assert sorted(rows + wrong) == list(range(1, ROWS + 1))
    assert [n for n in range(ROWS) if n % 100 == 7] == [row - 1 for row in wrong]
    assert (report["total_records_added"], report["total_errors"]) == (ROWS - BAD, BAD)
    assert (ended["progress"]["rows_added"], ended["progress"]["rows_failed"]) == (ROWS - BAD, BAD)
    assert world.db["import_chunks"].count_documents({"queue_id": queue_id, "state": {"$ne": "done"}}) == 0
