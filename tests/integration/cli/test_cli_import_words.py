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

    assert "Stage: 15 rows empty though the field is needed, e.g. line 3: the cell is empty" in shown.stdout
    assert "The first 10 of 15 rows that were not imported; all are in the error CSV:" in shown.stdout
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
        (["--map", "Deal=name"], 1, "'Deal Name' may be meant by 'Deal'. The file was read as UTF-8 with a comma"),
        (["--map", "Deal Name=name", "--delimiter", "semicolon"], 1, "with a semicolon between two cells"),
        (["--map", "Deal Name=name", "--encoding", "klingon"], 1, "'klingon'"),
        (["--map", "Deal Name=name", "--retry-of", "x"], 2, "--retry-of: given 'x'"),
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


@pytest.mark.parametrize("what", ["account", "user", "pipeline"])
def test_an_id_that_the_crm_does_not_have_stores_nothing(
    engine: CommandLine, world: World, sample: Path, what: str
) -> None:
    stranger = ObjectId()
    setattr(world, what, stranger)

    submitted = submit(engine, world, sample)

    assert submitted.returncode == 1
    assert str(stranger) in submitted.stderr
    assert what in submitted.stderr
    assert "of another account" not in submitted.stderr.split("(")[0]
    assert world.db["queues"].count_documents({}) == 0


def test_what_is_no_csv_is_refused_before_it_is_uploaded(engine: CommandLine, world: World, tmp_path: Path) -> None:
    workbook = tmp_path / "deals.xlsx"
    workbook.write_bytes(b"PK\x03\x04" + b"x" * 1000)

    submitted = submit(engine, world, workbook)

    assert (submitted.returncode, submitted.stdout) == (1, "")
    assert "Excel workbook" in submitted.stderr
    assert world.db["queues"].count_documents({}) == 0


def test_options_are_stored_and_a_preview_shows_what_becomes_of_the_rows(
    engine: CommandLine, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "bare.csv"
    file.write_text("One;10;Won\nTwo;20;\n" + "More;30;New\n" * 30)
    words = ["--map", "1=name", "--map", "3=stage_id", "--no-header", "--delimiter", ";", "--dry-run"]

    queue_id = submit(engine, world, file, *words).stdout.strip()

    options = world.import_of(ObjectId(queue_id))["additional_data"]
    wanted = {"delimiter": ";", "has_header": False, "dry_run": True}
    assert options == {"pipeline_id": world.pipeline, "tags": [], **wanted}
    shown = engine("imports", "preview", queue_id)
    assert shown.returncode == 0, shown.stderr
    assert "UTF-8 with a semicolon between two cells" in shown.stdout
    assert "no header" in shown.stdout
    assert "1 → name, 3 → stage_id" in shown.stdout
    assert "'2'" in shown.stdout
    assert "3: the cell is empty but the field is needed" in shown.stdout
    assert shown.stdout.count("More") == 18
    assert world.db["deals"].count_documents({}) == 0
    assert engine("run-once", "deals.import").returncode == 0
    assert "dry run: would create the stage 'Won'" in engine("imports", "show", queue_id).stdout


def test_a_retry_may_bring_the_corrected_file(engine: CommandLine, world: World, tmp_path: Path) -> None:
    endless = 'Deal Name,Stage\nOne,won\n"Two\n' + "text that is no row\n" * 60_000
    queue_id = world.submit(endless, {"Deal Name": "name", "Stage": "stage_id"})
    assert engine("run-once", "deals.import").returncode == 1
    assert "it goes on with row 2" in engine("explain", "import", queue_id).stdout
    file = tmp_path / "corrected.csv"
    file.write_text("Deal Name,Stage\nOne,won\nTwo,won\n")

    assert engine("imports", "retry", queue_id, "--file", file).returncode == 0
    assert engine("run-once", "deals.import").returncode == 0

    assert [deal["name"] for deal in world.deals_of(queue_id)] == ["One", "Two"]
    watched = engine("imports", "watch", queue_id).stdout
    assert "completed; 2 rows added, 0 failed in " in watched
    assert "This import has ended: it is completed at" in engine("explain", "import", queue_id).stdout


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
