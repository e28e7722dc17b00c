"""Every record of a chunk becomes a row or an error, never both and never neither."""

from __future__ import annotations

import csv
import io

import pytest

from pipeline_engine.domain.imports.csv.values import MAX_FIELD_BYTES, MAX_STAGE_CHARS
from tests.support.parsing import error_places, parse_file, parse_two_columns

CUSTOM = "507f1f77bcf86cd799439011"
MAPPINGS = {
    "Deal Name": "name",
    "Value": "value",
    "Stage": "stage_id",
    "Status": "status",
    "Contact Name": "contact_name",
    "Contact Email": "contact_email",
}
SAMPLE = """Deal Name,Value,Stage,Status,Contact Name,Contact Email
Acme Corp Deal,5000,qualified,open,John Doe,john@acme.com
TechStart Deal,12000,proposal,open,Jane Smith,jane@techstart.com
Global Inc Deal,25000,negotiation,open,Bob Johnson,bob@global.com
"""
MB = 1024 * 1024


@pytest.mark.covers("DI-08", "DI-12", "DI-25")
async def test_the_sample_of_the_seed() -> None:
    parsed = await parse_file(SAMPLE.encode(), MAPPINGS)
    assert not parsed.errors
    assert [row.stage for row in parsed.rows] == ["qualified", "proposal", "negotiation"]
    assert parsed.rows[0].fields == {
        "name": "Acme Corp Deal",
        "value": "5000",
        "status": "open",
        "contact_name": "John Doe",
        "contact_email": "john@acme.com",
        "additional_info": {},
    }


@pytest.mark.covers("DI-12", "DI-15", "DI-X9", "DI-X12")
async def test_cells_are_trimmed_and_normalised_and_nought_stays_nought() -> None:
    header = "Name,Value,Status,Type,Stage,Budget,Empty\n"
    mappings = {"Name": "name", "Value": "value", "Status": "status", "Type": "contract_type", "Stage": "stage_id"}
    custom = {"Budget": CUSTOM, "Empty": "a" * 24}
    body = ' Acme ,0,In - Progress,Month-to-month,"  Closed\tWon ", 0 ,\n'
    (row,) = (await parse_file((header + body).encode(), mappings | custom)).rows
    assert row.fields == {
        "name": "Acme",
        "value": "0",
        "status": "in___progress",
        "contract_type": "month_to_month",
        "additional_info": {CUSTOM: "0", "a" * 24: ""},
    }
    assert row.stage == "closed won"
    assert row.cells == [" Acme ", "0", "In - Progress", "Month-to-month", "  Closed\tWon ", " 0 ", ""]


async def test_a_mapped_column_that_the_file_lacks_gives_empty_fields() -> None:
    mappings = {"Name": "name", "Phone": "contact_phone", "Extra": CUSTOM}
    (row,) = (await parse_file(b"Name,Value\nAcme,1\n", mappings)).rows
    assert row.fields == {"name": "Acme", "contact_phone": "", "additional_info": {CUSTOM: ""}}
    assert row.stage == ""


@pytest.mark.covers("DI-X13")
async def test_rows_know_their_place_and_their_physical_line() -> None:
    parsed = await parse_two_columns(b'\n"two\r\nlines",1\n\n\nb,2,3\n"c",3\r"d\rd",4\r\n,5')
    assert [(row.row, row.line, row.fields["name"]) for row in parsed.rows] == [
        (1, 3, "two\r\nlines"),
        (3, 8, "c"),
        (4, 9, "d\rd"),
    ]
    assert error_places(parsed) == [(2, 7, "ragged"), (5, 11, "required")]


@pytest.mark.covers("DI-18", "R-21")
async def test_a_bad_row_is_one_error_and_its_neighbours_are_rows() -> None:
    bodies = {
        "ragged": b"a,1,2\n",
        "required": b" ,1\n",
        "nul": b"a\0b,1\n",
        "encoding": b"caf\xe9,1\n",
        "field_too_large": b"a," + b"x" * (MAX_FIELD_BYTES + 1) + b"\n",
        "too_large": b"a," + b"x" * MB + b"\n",
    }
    for code, body in bodies.items():
        parsed = await parse_two_columns(b"first,1\n" + body + b"last,2\n")
        assert [row.fields["name"] for row in parsed.rows] == ["first", "last"], code
        assert error_places(parsed) == [(2, 3, code)]


async def test_errors_say_what_is_wrong_and_keep_the_row_as_it_was() -> None:
    parsed = await parse_two_columns(b' a ,"x,y",z\n,2\n\n1\n')
    ragged, required, short = parsed.errors
    assert ragged.message == "cells in the row: 3, columns in the file: 2; cells that hold a delimiter need quotes"
    assert ragged.cells == [" a ", "x,y", "z"]
    assert (required.column, required.cells) == ("Name", ["", "2"])
    assert (short.column, short.cells) == (None, ["1"])
    assert short.message == "cells in the row: 1, columns in the file: 2; empty cells need their delimiters too"


@pytest.mark.parametrize("surplus", [b",", b", ,\t,", b',"",""'])
async def test_empty_cells_behind_the_last_column_are_no_error(surplus: bytes) -> None:
    parsed = await parse_two_columns(b"a,1" + surplus + b"\nb,2\nc," + surplus + b"x\n")
    assert [row.cells for row in parsed.rows] == [["a", "1"], ["b", "2"]]
    assert error_places(parsed) == [(3, 4, "ragged")]


async def test_an_empty_stage_is_an_error_when_one_is_mapped() -> None:
    parsed = await parse_file(b"Name,Stage\na,\nb, \nc,won\n", {"Name": "name", "Stage": "stage_id"})
    assert [(error.row, error.column, error.code) for error in parsed.errors] == [
        (1, "Stage", "required"),
        (2, "Stage", "required"),
    ]
    assert [row.stage for row in parsed.rows] == ["won"]


async def test_a_stage_name_has_a_limit() -> None:
    fits, longer = "x" * MAX_STAGE_CHARS, "\u0301\u0327" * 10_000
    parsed = await parse_file(f"Name,Stage\na, {fits} \nb,{longer}\n".encode(), {"Name": "name", "Stage": "stage_id"})
    assert [row.stage for row in parsed.rows] == [fits]
    assert [(error.row, error.column, error.code) for error in parsed.errors] == [(2, "Stage", "too_long")]


async def test_a_given_encoding_is_used() -> None:
    parsed = await parse_two_columns("Caf\xe9,1\n".encode("latin-1"), encoding="latin-1")
    assert parsed.rows[0].fields["name"] == "Caf\xe9"
    parsed = await parse_two_columns(b"5 \x80,1\nbad \x81,2\n", encoding="windows-1252")
    assert parsed.rows[0].fields["name"] == "5 \u20ac"
    assert error_places(parsed) == [(2, 3, "encoding")]


@pytest.mark.covers("R-21")
async def test_the_byte_order_mark_is_no_part_of_a_name() -> None:
    parsed = await parse_file(b"\xef\xbb\xbfName,Value\r\na,1\r\n", {"Name": "name"})
    assert [row.fields["name"] for row in parsed.rows] == ["a"]
    parsed = await parse_file(b"\xef\xbb\xbfa,1\n", {"1": "name", "2": "value"}, {"has_header": False})
    assert [(row.fields["name"], row.line) for row in parsed.rows] == [("a", 1)]


async def test_text_that_looks_like_code_is_text() -> None:
    cells = ['{"$ne":null}', "=1+1", "$where", "-0", "NaN", "9e999", str(2**63), "[" * 181, "a\u2028b\u0085c"]
    body = io.StringIO(newline="")
    csv.writer(body).writerows(["n", cell] for cell in cells)
    assert [row.fields["value"] for row in (await parse_two_columns(body.getvalue().encode())).rows] == cells


@pytest.mark.covers("R-21")
async def test_the_last_row_of_a_file_with_carriage_returns_only_is_there() -> None:
    parsed = await parse_file(b"Name,Value\ra,1\rb,2\r", {"Name": "name"})
    assert [row.fields["name"] for row in parsed.rows] == ["a", "b"]
