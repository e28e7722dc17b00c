"""`imports` through the real door."""

from __future__ import annotations

from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.command_line import InProcess, Ran, Subprocess
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    file = tmp_path / "my deals.csv"
    file.write_text(SAMPLE)
    return file


def submit(engine: Subprocess, world: World, file: Path, *words: str, **changes: str) -> Ran:
    whose = ["--account", world.account, "--user", world.user, "--pipeline", world.pipeline]
    columns = [word for column, field in SAMPLE_MAPPINGS.items() for word in ("--map", f"{column}={field}")]
    return engine("imports", "submit", file, *whose, *(words or columns), **changes)


def test_a_file_is_submitted_run_listed_and_shown(
    engine: Subprocess, inside: InProcess, world: World, sample: Path
) -> None:
    submitted = submit(engine, world, sample)
    assert submitted.returncode == 0, submitted.stderr
    assert "No daemon runs" in submitted.stderr
    queue_id = ObjectId(submitted.stdout.strip())

    waiting = world.import_of(queue_id)
    assert waiting["csv"] == [{"key": f"imports/{world.account}/{queue_id}.csv", "name": "my deals.csv"}]
    assert waiting["mappings"] == SAMPLE_MAPPINGS
    assert waiting["additional_data"] == {"pipeline_id": world.pipeline, "tags": []}
    assert (waiting["source"], waiting["status"], waiting["in_progress"]) == ("deals", "pending", False)
    assert (waiting["account_id"], waiting["user_id"]) == (world.account, world.user)

    assert engine("run-once", "deals.import").returncode == 0
    assert len(world.deals_of(queue_id)) == 3

    listed = inside("imports", "list", "--account", world.account)
    (row,) = [line for line in listed.stdout.splitlines() if str(queue_id) in line]
    assert [cell.strip() for cell in row.split("│")[2:8]] == [
        "completed",
        str(world.account),
        "my deals.csv",
        "3",
        "3",
        "0",
    ]
    assert inside("imports").stdout.count("completed") == 1

    shown = inside("imports", "show", queue_id)
    lines = dict(line.split("  ", 1) for line in shown.stdout.splitlines() if "  " in line)
    figures = {name: value.strip() for name, value in lines.items()}
    assert figures["status"] == "completed"
    assert (figures["rows read"], figures["rows added"], figures["rows failed"]) == ("3", "3", "0")
    assert figures["file read as"].startswith("UTF-8 with a comma between two cells")

    watched = inside("imports", "watch", queue_id)
    assert watched.returncode == 0
    assert "completed; 3 rows added, 0 failed in " in watched.stdout
