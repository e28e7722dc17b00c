"""What people read of an import: how its file was read, its errors by kind, its line in a list, how it ended. Pure."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from rich.console import Console

from pipeline_engine.cli.import_progress import summary
from pipeline_engine.cli.import_words import listed, shown_report
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.imports.csv.dialect import Dialect, detect
from pipeline_engine.domain.imports.csv.in_words import dialect_in_words, left_out_in_words
from pipeline_engine.domain.imports.csv.missing_columns import missing_columns
from pipeline_engine.domain.imports.error_words import group_in_words
from pipeline_engine.domain.imports.options import KNOWN, nearest

STARTED = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Paper(Screen):
    """A screen of 80 columns that keeps what is printed."""

    def __init__(self) -> None:
        self.console = Console(width=80, file=io.StringIO(), highlight=False)

    @property
    def lines(self) -> list[str]:
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue().splitlines()


@pytest.fixture
def paper() -> Paper:
    return Paper()


def error(n: int, total: int) -> dict[str, Any]:
    logs = [{"position": 1, "line": 2, "column": "Value", "code": "number", "additional_info": "why"}] * n
    return {"logs": logs, "total_errors": total}


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ({}, ""),
        (
            {"encoding": "utf-8", "delimiter": ",", "quote": '"', "header_row": 1, "confidence": 1.0},
            "UTF-8 with a comma between two cells, cells may stand in double quotes, header in line 1, 100% sure",
        ),
        (
            {
                "encoding": "cp1252",
                "delimiter": "\t",
                "quote": "",
                "header_row": 3,
                "header_rows": 2,
                "confidence": 0.5,
            },
            "Windows-1252 with a tab between two cells, no quotes, header in lines 3-4, 50% sure",
        ),
        (
            {"encoding": "klingon", "delimiter": "||", "quote": "'", "escape": "backslash", "header_row": 0},
            "KLINGON with a '||' between two cells, cells may stand in single quotes, a backslash before a quote",
        ),
        ({"encoding": "utf-16-le", "delimiter": "", "header_row": 1, "runner_up": "a semicolon"}, "one cell a line"),
    ],
)
def test_how_a_file_was_read(dialect: dict[str, Any], words: str) -> None:
    assert words in dialect_in_words(dialect)


def test_what_of_a_file_is_left_out_is_named_with_what_to_do() -> None:
    text = "sep=;\nDeals\n\nDeal;Value\nOar;1\nSail;2\n\nTotal: 3\nby the CRM\n\nOwner;Team;Seats\nAda;A;1\nBob;B;2\n"
    dialect = detect(text.encode(), {}, ["Deal", "Value"], whole=True)
    advice = "; if it holds deals, import them in a file of their own, with the header"
    assert left_out_in_words(dialect._asdict()) == [
        f"not imported: line 2 before the header{advice}",
        f"not imported: lines 8-9 after the table ('Total: 3'; 'by the CRM'){advice}",
        f"not imported: lines 11-13 another table{advice}",
    ]
    assert Dialect.read(dialect._asdict()) == dialect


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (
            ("not_a_number", "Value", 812, 17, "'n/a' is no number"),
            "Value: 812 rows not a number, e.g. line 17: 'n/a' is no",
        ),
        (("ragged", None, 1, 3, "why"), "1 row with another number of cells than the file has columns, line 3: why"),
        (("brand_new", "A", 1_000, 3, "why"), "A: 1,000 rows brand new, e.g. line 3: why"),
    ],
)
def test_errors_by_kind(group: tuple[Any, ...], words: str) -> None:
    names = ("code", "column", "rows", "line", "message")
    assert group_in_words(dict(zip(names, group, strict=True))).startswith(words)


def test_which_columns_are_missing_and_which_were_meant() -> None:
    text = missing_columns({"Deal Name": "name", "Stage": "stage_id"}, ["deal  name", "", "Phase", "Betrag"])

    assert text == (
        "no columns 'Deal Name', 'Stage': its 3 columns are 'deal  name', 'Phase', 'Betrag'; 'deal  name' may be meant "
        "by 'Deal Name'"
    )
    assert missing_columns({"X": "name"}, [f"column {n}" for n in range(500)]).count("column ") == 11
    assert missing_columns({"X" * 9_000: "name"}, ["y" * 9_000]).endswith("…")


@pytest.mark.parametrize(("name", "known"), [("Delimiter", "delimiter"), ("dryRun", "dry_run"), ("x", None)])
def test_the_nearest_name(name: str, known: str | None) -> None:
    assert nearest(name, KNOWN) == known


def test_a_list_fits_on_80_columns_and_says_why_imports_failed(paper: Paper) -> None:
    progress = {"rows_read": 1_234_567, "rows_added": 1_234_000, "rows_failed": 567}
    name = "deals of the northern region, third quarter.csv"
    queue = {"_id": ObjectId(), "status": "processing", "account_id": ObjectId(), "csv": [{"name": name}]}

    listed(paper, [{**queue, "progress": progress}, {**queue, "status": "failed", "error": "no such file"}])

    rows = [line for line in paper.lines if f"│ {queue['_id']} │ processing │" in line]
    assert len(rows) == 1
    assert "1,234,000 │    567 │ deals" in rows[0]
    assert all(len(line) <= 80 for line in paper.lines)
    assert paper.lines[-1] == f"{queue['_id']}: no such file"


@pytest.mark.parametrize(
    ("shown", "total", "heading"),
    [
        (1, 1, "The row that was not imported:"),
        (3, 3, "The 3 rows that were not imported:"),
        (12, 15, "The first 10 of 15 rows that were not imported; all are in the error CSV:"),
    ],
)
def test_the_heading_of_the_errors(paper: Paper, shown: int, total: int, heading: str) -> None:
    shown_report(paper, error(shown, total))

    assert heading in paper.lines


def test_time_and_speed_count_from_the_last_retry() -> None:
    queue = {
        "status": "completed",
        "started_at": STARTED,
        "completed_at": STARTED + timedelta(seconds=10),
        "progress": {"rows_added": 1_100, "rows_failed": 100},
        "rows_before": 200,
    }

    assert summary(queue) == "completed; 1,100 rows added, 100 failed in 10.0 s, 100 rows/s"
    dry = {**queue, "additional_data": {"dry_run": True}}
    assert "failed (a dry run: nothing was created) in" in summary(dry)
