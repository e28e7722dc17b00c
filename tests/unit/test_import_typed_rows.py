"""Rows with typed values, from the file to the fields of the deal, and the cases that speak of values."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline_engine.domain.imports.csv.columns import FieldType
from pipeline_engine.domain.imports.csv.row import RowNote
from pipeline_engine.domain.imports.row_facts import note_warnings, row_facts, value_total
from tests.support import cases
from tests.support.parsing import Account, parse_typed

A = "a" * 24
TYPED = [
    "02-excel-text-guard",
    "03-nbsp-amounts",
    "06-partial-numbers",
    "09-long-ids",
    "13-na-words",
    "17-accounting-signs",
]


@pytest.mark.covers("DI-X14")
@pytest.mark.parametrize("country", [None, "DE", "US"])
@pytest.mark.parametrize("case", TYPED)
async def test_the_cases_hold(case: str, country: str | None) -> None:
    (run,) = cases.read(case)["runs"]
    parsed, _ = await parse_typed(cases.data(case, run["file"]), run["mappings"], Account(country))
    assert len(parsed.rows) == len(run["deals"])
    for row, expected in zip(parsed.rows, run["deals"], strict=True):
        _compare({**row.fields, "stage": row.stage}, expected)
    # Deals and errors are all there is: a deal that is listed is no error.
    assert [error.row for error in parsed.errors] == [one["position"] for one in run.get("errors", [])]
    assert {error.column for error in parsed.errors} == {one["column"] for one in run.get("errors", [])}


def _compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        match value:
            case {"one_of": several}:
                assert found[name] in several
            case {"empty": True}:
                assert found.get(name) in (None, "")
            case dict():
                _compare(found[name], value)
            case _:
                assert found[name] == value, name


async def test_the_telephone_numbers_of_a_case() -> None:
    case = cases.read("11-phones")["runs"][0]
    parsed, _ = await parse_typed(cases.data("11-phones", case["file"]), case["mappings"], Account())
    stored = {row.fields["name"]: row.fields["contact_phone"] for row in parsed.rows}
    for name, digits in case["phone_digits_of_stored_value"].items():
        assert re.sub(r"\D", "", stored[name]) in digits
    assert not any(unicodedata.category(letter) == "Cf" or letter == "\u00a0" for letter in "".join(stored.values()))
    assert [(error.row, error.column, error.code, error.value) for error in parsed.errors] == [
        (8, "Phone", "not_a_phone", "4.91512E+12")
    ]


async def test_the_dates_of_a_case_with_and_without_a_declared_type() -> None:
    case = cases.read("21-dates-kept")
    (run,), field = case["runs"], "64b0c0ffee0000000000aa01"
    data = cases.data("21-dates-kept", run["file"])
    parsed, _ = await parse_typed(data, run["mappings"], Account())
    assert [row.fields["additional_info"] for row in parsed.rows] == [one["additional_info"] for one in run["deals"]]
    parsed, rules = await parse_typed(data, run["mappings"], Account(custom={field: FieldType("date")}))
    found = {row.fields["name"]: row.fields["additional_info"].get(field) for row in parsed.rows}
    assert {name: value and f"{value:%Y-%m-%d}" for name, value in found.items()} == {
        "Dam 1": "2026-03-04",
        "Dam 2": "2026-08-25",
        "Dam 4": "1970-01-01",
        "Dam 5": "2023-07-16",
        "Dam 6": None,
    }
    assert [(error.row, error.code) for error in parsed.errors] == [(3, "not_a_date")]
    assert rules.warnings == ()


async def test_an_empty_cell_is_no_number_and_an_empty_text() -> None:
    body = "Name,Value,Mail,A\nx,,,\ny,\u200b,\u200b, \n".encode()
    mappings = {"Name": "name", "Value": "value", "Mail": "contact_email", "A": A}
    for custom, info in (({A: FieldType("number")}, {}), ({}, {A: ""})):
        parsed, _ = await parse_typed(body, mappings, Account(custom=custom))
        assert [row.fields for row in parsed.rows] == [
            {"name": name, "contact_email": "", "additional_info": info} for name in "xy"
        ]


async def test_a_name_that_nobody_sees_is_missing() -> None:
    parsed, _ = await parse_typed("Name,Value\n\u200b\ufeff,1\n\u3164,2\n名,3\n".encode(), {"Name": "name"}, Account())
    assert [error.code for error in parsed.errors] == ["required", "required"]


async def test_a_mark_between_files_and_the_end_of_a_file_of_dos_are_no_text() -> None:
    body = 'Name,Value\nA,1\n\ufeffB,2\n\ufeff="007",\ufeff3\n\x1a'.encode()
    parsed, _ = await parse_typed(body, {"Name": "name", "Value": "value"}, Account())
    assert [(row.fields["name"], row.fields["value"]) for row in parsed.rows] == [("A", 1), ("B", 2), ("007", 3)]
    assert (parsed.errors, parsed.skipped) == ([], 1)


@pytest.mark.parametrize("last", ['"B, b",1,C', '"B \\"b\\"",1,C'], ids=["doubled quotes", "backslashes"])
async def test_the_null_of_databases_is_an_empty_cell(last: str) -> None:
    body = f"Name,Value,Contact\n{last}\nA,\\N,\\N\n".encode()
    mappings = {"Name": "name", "Value": "value", "Contact": "contact_name"}
    parsed, _ = await parse_typed(body, mappings, Account())
    assert parsed.errors == []
    assert [row.fields["contact_name"] for row in parsed.rows] == ["C", ""]
    assert "value" not in parsed.rows[1].fields


async def test_an_error_shows_column_value_and_reason() -> None:
    parsed, _ = await parse_typed(
        b"Name,Sum\nx," + b"9" * 500 + b"\ny,12abc\n", {"Name": "name", "Sum": "value"}, Account()
    )
    long, short = parsed.errors
    assert (short.column, short.code, short.value, short.message) == (
        "Sum",
        "not_a_number",
        "12abc",
        "'12abc' is not a number",
    )
    assert (len(long.value or ""), long.cells) == (80, ["x", "9" * 500])


async def test_what_is_left_out_of_a_cell_is_noted() -> None:
    body = b"Name,Mail,Value\nx,a@b.example; c@d.example,1\ny,a@b.example,2\nz,e@f.example g@h.example,\n"
    parsed, _ = await parse_typed(body, {"Name": "name", "Mail": "contact_email", "Value": "value"}, Account())
    assert [row.fields["contact_email"] for row in parsed.rows] == ["a@b.example", "a@b.example", "e@f.example"]
    assert parsed.rows[0].notes == (RowNote("Mail", "more_addresses", "a@b.example; c@d.example"),)
    facts = row_facts(parsed.rows)
    assert facts["value"] == {"sum": 3.0, "deals": 2}
    (warning,) = note_warnings(facts["notes"] + facts["notes"])
    assert warning == (
        "column 'Mail': 4 rows have several e-mail addresses; the first was taken, e.g. line 2 "
        "'a@b.example; c@d.example'"
    )


def test_a_total_is_exact_and_leaves_text_out() -> None:
    assert value_total([0.1] * 10 + ["5000", None, True]) == (1.0, 10)


@pytest.mark.parametrize("rows", [1, 2, 500])
async def test_every_chunk_reads_alike(rows: int) -> None:
    body = b"Name;Value;Day\nx;1.500;03/04/2026\ny;2,50;25/04/2026\n"
    account = Account("US", custom={A: FieldType("date")})
    parsed, _ = await parse_typed(body, {"Name": "name", "Value": "value", "Day": A}, account, rows=rows)
    assert [row.fields["value"] for row in parsed.rows] == [1500, 2.5]
    assert [row.fields["additional_info"][A] for row in parsed.rows] == [
        datetime(2026, 4, day, tzinfo=UTC) for day in (3, 25)
    ]
