"""The words of `imports` and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine, Ran
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    file = tmp_path / "my deals.csv"
    file.write_text(SAMPLE)
    return file


def submit(engine: CommandLine, world: World, file: Path, *words: str, **changes: str) -> Ran:
    whose = ["--account", world.account, "--user", world.user, "--pipeline", world.pipeline]
    columns = [word for column, field in SAMPLE_MAPPINGS.items() for word in ("--map", f"{column}={field}")]
    return engine("imports", "submit", file, *whose, *(words or columns), **changes)


def test_the_first_errors_are_shown_and_no_cell_of_the_file(engine: CommandLine, world: World) -> None:
    rows = "".join(f"Deal {n},stage\n" if n % 2 else f"secret cell {n},\n" for n in range(1, 31))
    queue_id = world.submit("Deal Name,Stage\n" + rows, {"Deal Name": "name", "Stage": "stage_id"})
    engine("run-once", "deals.import")

    shown = engine("imports", "show", queue_id)

    assert "The first 10 errors" in shown.stdout
    assert "the cell is empty but the field is needed" in shown.stdout
    assert world.import_of(queue_id)["error_csv_key"] in shown.stdout
    assert "secret cell" not in shown.stdout


def test_an_operators_prefix_decides_where_the_file_goes(engine: CommandLine, world: World, sample: Path) -> None:
    submitted = submit(engine, world, sample, IMPORT_KEY_PREFIX="crm/{account_id}/in/")

    queue_id = submitted.stdout.strip()
    assert world.keys(f"crm/{world.account}/in/") == [f"crm/{world.account}/in/{queue_id}.csv"]
    ran = engine("run-once", "deals.import", IMPORT_KEY_PREFIX="crm/{account_id}/in/")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.covers("DI-22")
@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--map", "Deal Name"], 2, "--map: given 'Deal Name': COLUMN=FIELD is wanted"),
        (["--map", "Stage=stage_id", "--map", "Stage=name"], 2, "--map: the column 'Stage' is given twice"),
        (["--map", "Deal Name=owner"], 1, "which is no field of a deal that a file may set"),
        (["--map", "Deal Name=name", "--map", "Stage=name"], 1, "are all mapped to 'name'"),
    ],
)
def test_a_wrong_mapping_stores_nothing(
    engine: CommandLine, world: World, sample: Path, words: list[str], code: int, reason: str
) -> None:
    submitted = submit(engine, world, sample, *words)

    assert (submitted.returncode, submitted.stdout) == (code, "")
    (line,) = submitted.stderr.splitlines()
    assert reason in line
    assert world.db["queues"].count_documents({}) == 0
    assert world.keys(f"imports/{world.account}/") == []


@pytest.mark.covers("DI-22")
def test_another_accounts_pipeline_is_refused_and_nothing_is_stored(
    engine: CommandLine, world: World, sample: Path
) -> None:
    neighbour = world.neighbour()
    world.pipeline = neighbour.pipeline
    neighbour.close()

    submitted = submit(engine, world, sample)

    assert submitted.returncode == 1
    assert submitted.stderr.startswith("pipelines of another account: ")
    assert world.db["queues"].count_documents({}) == 0
    assert world.keys(f"imports/{world.account}/") == []


def test_a_pending_import_without_a_run_is_cancelled_by_the_next_sweep_and_can_be_retried(
    engine: CommandLine, world: World
) -> None:
    queue_id = world.submit(SAMPLE)

    cancelled = engine("imports", "cancel", queue_id)
    assert cancelled.returncode == 0
    assert f"import {queue_id} is pending and will be cancelled" in cancelled.stdout
    assert "No daemon runs at the moment" in cancelled.stdout
    assert "pending, to be cancelled" in engine("imports", "show", queue_id).stdout

    assert engine("run-once", "deals.import").returncode == 1
    assert world.import_of(queue_id)["status"] == "cancelled"
    assert world.deals_of(queue_id) == []
    assert engine("imports", "watch", queue_id).returncode == 1

    again = engine("imports", "cancel", queue_id)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"import {queue_id} is cancelled: there is nothing to cancel\n"

    assert engine("imports", "retry", queue_id).returncode == 0
    assert engine("run-once", "deals.import").returncode == 0
    assert world.import_of(queue_id)["status"] == "completed"
    assert len(world.deals_of(queue_id)) == 3


def test_only_what_failed_or_was_cancelled_is_retried(engine: CommandLine, world: World) -> None:
    queue_id = world.submit(SAMPLE)

    ran = engine("imports", "retry", queue_id)

    assert ran.returncode == 1
    assert ran.stderr == f"import {queue_id} is pending: only a failed or cancelled one is tried again\n"


@pytest.mark.parametrize("word", ["show", "watch", "cancel", "retry"])
def test_an_id_that_is_none_and_one_that_does_not_exist(engine: CommandLine, word: str) -> None:
    malformed = engine("imports", word, "no-id")
    assert (malformed.returncode, malformed.stdout) == (2, "")
    assert malformed.stderr == "ID: given 'no-id': an id has 24 hex digits\n"

    unclaimed = ObjectId()
    unknown = engine("imports", word, unclaimed)
    assert unknown.returncode == 1
    assert unknown.stderr.endswith(f"there is no import {unclaimed}\n")


def test_what_a_file_is_called_cannot_command_the_terminal(engine: CommandLine, world: World) -> None:
    key = world.upload(f"imports/{world.account}/x.csv", SAMPLE)
    queue_id = world.queue(key, csv=[{"key": key, "name": "\x1b]0;owned\x07[red]\n.csv"}])

    for shown in (engine("imports", "list").stdout, engine("imports", "show", queue_id).stdout):
        assert "\x1b" not in shown
        assert r"\x1b]0;owned\x07[red]\n.csv" in shown
