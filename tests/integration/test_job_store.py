"""How long the history of jobs is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from pipeline_engine.lanes import HistoryRow
from tests.support.engine_app import EngineApp

NOW = datetime.now(UTC).replace(microsecond=0)


def row(number: int, outcome: Literal["done", "retried", "dead"], lane: str = "crm-events") -> HistoryRow:
    return HistoryRow(
        lane, f"{outcome} {number}", "event.consume", outcome, 1.0, 1, NOW + timedelta(milliseconds=number)
    )


@pytest.mark.covers("CL-05")
async def test_of_a_lane_the_newest_thousand_that_completed_and_five_thousand_that_failed_are_kept(
    app: EngineApp,
) -> None:
    store, history = app.shared.job_store, app.database["job_history"]
    await store.record([row(number, "done") for number in range(1_003)])
    await store.record([row(number, "dead") for number in range(5_002)])
    await store.record([row(0, "done", "crm-activity-log"), row(0, "done", "crm-activity-log")])

    assert await store.counts("crm-events") == {"completed": 1_000, "failed": 5_000}
    assert await store.counts("crm-activity-log") == {"completed": 1, "failed": 0}
    oldest = await history.find({"lane": "crm-events", "outcome": "done"}).sort("at", 1).limit(1).to_list(None)
    assert oldest[0]["job_id"] == "done 3"


@pytest.mark.covers("CL-05")
async def test_completed_jobs_expire_after_a_day_and_failed_ones_after_seven(app: EngineApp) -> None:
    await app.shared.job_store.record([row(0, "done"), row(1, "retried"), row(2, "dead")])

    stored = await app.database["job_history"].find().to_list(None)
    assert {one["outcome"]: one["expires_at"] - one["at"] for one in stored} == {
        "done": timedelta(hours=24),
        "retried": timedelta(days=7),
        "dead": timedelta(days=7),
    }
    indexes = await app.database["job_history"].index_information()
    assert [one["expireAfterSeconds"] for one in indexes.values() if "expireAfterSeconds" in one] == [0]
