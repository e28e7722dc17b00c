"""SIGKILL at random while a large import runs: no row is lost, none is double."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.faults.drill import Drill
from tests.support.csv_files import csv_file
from tests.support.history import CONVERGED


@pytest.mark.covers("DI-X1", "DI-X3", "DI-X7")
async def test_three_kills_in_5000_rows(drill: Drill, figure: list[str]) -> None:
    await _survive(drill, figure, rows=5_000, kills=3)


@pytest.mark.slow
async def test_ten_kills_in_100000_rows(drill: Drill, figure: list[str]) -> None:
    await _survive(drill, figure, rows=100_000, kills=10)


async def _survive(drill: Drill, figure: list[str], rows: int, kills: int) -> None:
    chunk_rows = rows // 100 if rows < 10_000 else 500
    queue_id = drill.queue(csv_file(rows))
    recoveries = []
    # Kills fall when so many chunks are done: spread over the whole import, at a moment that nobody chose.
    for done in sorted(random.sample(range(1, rows // chunk_rows * 9 // 10), kills)):
        daemon = drill.start(IMPORT_CHUNK_ROWS=str(chunk_rows))
        before = drill.chunks(queue_id)
        recoveries.append(await drill.progress(queue_id, before + 1))
        await drill.progress(queue_id, done)
        daemon.kill()
    drill.start(IMPORT_CHUNK_ROWS=str(chunk_rows))
    await drill.converge(queue_id, patience=120)
    drill.check(queue_id, patience=CONVERGED)

    ended, report = drill.world.import_of(queue_id), drill.world.report_of(queue_id)
    assert (report["total_records_added"], report["total_errors"]) == (rows * 99 // 100, rows // 100)
    deals = drill.world.db["deals"].count_documents({"import_id": queue_id})
    figure.append(
        f"{kills} kills in {rows} rows: {deals} deals, {report['total_errors']} errors, 0 lost, 0 double; "
        f"from a daemon's start to its first chunk at most {max(recoveries):.1f} s; "
        f"a lease lay about for at most {drill.checker.longest_orphan() / timedelta(seconds=1):.1f} s; "
        f"attempts {ended['attempts']}, claims {ended['token']}"
    )
