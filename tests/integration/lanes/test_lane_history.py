"""What ran is written down: rows, charts, one log line a second."""

from __future__ import annotations

import json
from typing import Any

from pipeline_engine.errors import Transient
from pipeline_engine.lanes import Context, LaneQueue, NewJob, Retention
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import Book, lane
from tests.support.eventually import eventually
from tests.support.said import Said


async def fail_once(context: Context[None]) -> None:
    if context.job.attempt == 1:
        raise Transient("first time")


async def test_failed_attempts_and_completed_jobs_leave_rows_and_a_chart(
    crews: Crews, queue: LaneQueue, book: Book
) -> None:
    await crews(lane(), {"f": fail_once})
    await queue.enqueue("test", "f", id="one")
    await eventually(lambda: len(book.rows) == 2, "two rows")
    failed, done = sorted(book.rows, key=lambda row: row.at)
    assert (failed.outcome, failed.error, failed.attempts) == ("retried", "first time", 1)
    assert (done.outcome, done.error, done.attempts) == ("done", None, 2)
    assert {row.job_id for row in book.rows} == {"one"}
    await eventually(lambda: _charted(queue, done=1, retried=1), "the chart")


async def test_completed_rows_go_through_a_ring_and_failed_ones_do_not_fall_out_with_them(
    crews: Crews, queue: LaneQueue, book: Book
) -> None:
    book.closed = True
    await crews(lane(retention=Retention(completed_rows=10)), {"f": fail_once})
    await queue.enqueue_many("test", [NewJob("f") for _ in range(50)])
    await eventually(lambda: book.refusals >= 2, "the store refused twice")
    await eventually(lambda: _is_empty(queue), "all ended")
    book.closed = False
    await eventually(lambda: len(book.rows) == 60, "the rows come when the store is back")
    assert [row.outcome for row in book.rows].count("done") == 10


async def test_success_is_one_summary_line_at_info(crews: Crews, queue: LaneQueue, book: Book, said: Said) -> None:
    """arq writes two lines for every job."""

    async def handler(_: Context[None]) -> None: ...

    await queue.enqueue_many("test", [NewJob("f") for _ in range(200)])
    await crews(lane(), {"f": handler})
    await eventually(lambda: len(book.rows) == 200, "all rows")
    await eventually(lambda: sum(line["jobs"] for line in _summaries(said)) == 200, "all rows are summed up")
    assert 1 <= len(_summaries(said)) <= 3


def _summaries(said: Said) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, said().splitlines()) if line["level"] == "info"]


async def _charted(queue: LaneQueue, **expected: int) -> bool:
    charts = (await queue.minutes("test")).values()
    return all(sum(chart.get(what, 0) for chart in charts) == count for what, count in expected.items())


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0
