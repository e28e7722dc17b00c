"""Every record of a chunk becomes a row or an error, never both and never neither."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from typing import Any

import pytest
from bson import encode
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.chunks import ChunkCutter, Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect, detect
from pipeline_engine.domain.imports.csv.header import find_header
from pipeline_engine.domain.imports.csv.mapping import compile_mapping
from pipeline_engine.domain.imports.csv.parse import Parsed, parse
from pipeline_engine.domain.imports.csv.row import RowMapper
from pipeline_engine.domain.imports.csv.values import MAX_FIELD_BYTES, MAX_STAGE_CHARS

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
COMMA = Dialect("utf-8", ",", '"', 1, 1.0)
MB = 1024 * 1024


async def _parse(data: bytes, mappings: dict[str, str], told: dict[str, Any] | None = None, rows: int = 500) -> Parsed:
    """The whole way of a file, as the flow goes it."""
    dialect = detect(data, told or {}, whole=True)
    header = find_header(data, dialect, whole=True)
    assert header is not None
    mapper = RowMapper(compile_mapping(mappings, header.columns))
    cutter = ChunkCutter(dialect.separator, start=header.start, line=header.line, rows=rows)
    whole = Parsed([], [])
    for piece in cutter.feed(data[header.start :]) + cutter.close():
        done = await parse(piece, dialect, mapper)
        numbers = [row.row for row in done.rows] + [error.row for error in done.errors]
        assert sorted(numbers) == list(range(piece.chunk.first_row, piece.chunk.first_row + piece.chunk.rows))
        assert done.errors == sorted(done.errors)
        whole.rows.extend(done.rows)
        whole.errors.extend(done.errors)
    return whole


def _pieces(data: bytes) -> list[Piece]:
    cutter = ChunkCutter(b",", start=0, line=1)
    return cutter.feed(data) + cutter.close()


async def _two(body: bytes, **told: Any) -> Parsed:
    """A file of the columns Name and Value."""
    return await _parse(b"Name,Value\n" + body, {"Name": "name", "Value": "value"}, {"delimiter": ",", **told})


def _told(parsed: Parsed) -> list[tuple[int, int, str]]:
    return [(error.row, error.line, error.code) for error in parsed.errors]


@pytest.mark.covers("DI-08", "DI-12", "DI-25")
async def test_the_sample_of_the_seed() -> None:
    parsed = await _parse(SAMPLE.encode(), MAPPINGS)
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
    (row,) = (await _parse((header + body).encode(), mappings | custom)).rows
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
    (row,) = (await _parse(b"Name,Value\nAcme,1\n", mappings)).rows
    assert row.fields == {"name": "Acme", "contact_phone": "", "additional_info": {CUSTOM: ""}}
    assert row.stage == ""


@pytest.mark.covers("DI-X13")
async def test_rows_know_their_place_and_their_physical_line() -> None:
    parsed = await _two(b'\n"two\r\nlines",1\n\n\nb,2,3\n"c",3\r"d\rd",4\r\n,5')
    assert [(row.row, row.line, row.fields["name"]) for row in parsed.rows] == [
        (1, 3, "two\r\nlines"),
        (3, 8, "c"),
        (4, 9, "d\rd"),
    ]
    assert _told(parsed) == [(2, 7, "ragged"), (5, 11, "required")]


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
        parsed = await _two(b"first,1\n" + body + b"last,2\n")
        assert [row.fields["name"] for row in parsed.rows] == ["first", "last"], code
        assert _told(parsed) == [(2, 3, code)]


async def test_errors_say_what_is_wrong_and_keep_the_row_as_it_was() -> None:
    parsed = await _two(b' a ,"x,y",z\n,2\n\n1\n')
    ragged, required, short = parsed.errors
    assert "3 cells" in ragged.message
    assert "2 columns" in ragged.message
    assert ragged.cells == [" a ", "x,y", "z"]
    assert (required.column, required.cells) == ("Name", ["", "2"])
    assert (short.column, short.cells) == (None, ["1"])


async def test_an_empty_stage_is_an_error_when_one_is_mapped() -> None:
    parsed = await _parse(b"Name,Stage\na,\nb, \nc,won\n", {"Name": "name", "Stage": "stage_id"})
    assert [(error.row, error.column, error.code) for error in parsed.errors] == [
        (1, "Stage", "required"),
        (2, "Stage", "required"),
    ]
    assert [row.stage for row in parsed.rows] == ["won"]


async def test_a_stage_name_has_a_limit() -> None:
    fits, longer = "x" * MAX_STAGE_CHARS, "\u0301\u0327" * 10_000
    parsed = await _parse(f"Name,Stage\na, {fits} \nb,{longer}\n".encode(), {"Name": "name", "Stage": "stage_id"})
    assert [row.stage for row in parsed.rows] == [fits]
    assert [(error.row, error.column, error.code) for error in parsed.errors] == [(2, "Stage", "too_long")]


@pytest.mark.covers("R-21")
@pytest.mark.parametrize("cell", ["x" * MAX_FIELD_BYTES, "é" * (MAX_FIELD_BYTES // 2), '""' * MAX_FIELD_BYTES])
async def test_a_field_may_have_64_kb_of_utf_8_and_not_a_byte_more(cell: str) -> None:
    parsed = await _two(f'a,"{cell}"\nb,"{cell}e"\n'.encode())
    assert [row.fields["value"] for row in parsed.rows] == [cell.replace('""', '"')]
    assert _told(parsed) == [(2, 3, "field_too_large")]


@pytest.mark.covers("R-21")
@pytest.mark.parametrize("size", [131_073, 1_000_000])
async def test_a_field_beyond_the_parsers_own_limit_ends_nothing(size: int) -> None:
    parsed = await _two(b"a,1\nb," + b"x" * size + b"\nc,3\n")
    assert [row.fields["name"] for row in parsed.rows] == ["a", "c"]
    assert _told(parsed) == [(2, 3, "field_too_large")]
    assert parsed.errors[0].cells[0] == "b"
    assert len(parsed.errors[0].cells[1]) < 10_000


@pytest.mark.covers("R-21")
async def test_a_field_of_50_mb_and_one_that_never_ends() -> None:
    huge = b"b," + b"x" * (50 * MB) + b"\n"
    parsed = await _two(b"a,1\n" + huge + b'c,3\nd,"4\n' + b"e,5\n" * 1000)
    assert [row.fields["name"] for row in parsed.rows] == ["a", "c"]
    assert _told(parsed) == [(2, 3, "too_large"), (4, 5, "unclosed")]
    assert all(len("".join(error.cells)) < 10_000 for error in parsed.errors)


@pytest.mark.covers("R-21")
async def test_a_million_cells_are_one_ragged_row() -> None:
    began = time.process_time()
    parsed = await _two(b"a,1\n" + b"," * 1_000_000 + b"\n" + b'"",' * 300_000 + b"\n" + b"x," * 20_000 + b"\nb,2\n")
    assert time.process_time() - began < 1
    assert [row.fields["name"] for row in parsed.rows] == ["a", "b"]
    assert _told(parsed) == [(2, 3, "ragged"), (3, 4, "ragged"), (4, 5, "ragged")]
    assert all(len(error.cells) <= 8192 for error in parsed.errors)


async def test_many_delimiters_inside_quotes_are_text() -> None:
    cell = "a,b;c\r\n" * 9_000
    parsed = await _two(f'a,"{cell}"\n'.encode())
    assert parsed.rows[0].fields["value"] == cell.strip()


@pytest.mark.covers("R-21")
@pytest.mark.parametrize(
    "raw",
    [
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xff",
        b"\xe9",
        b"\xe2\x82",
        b"\xf4\x90\x80\x80",
        b"\xfe\xff\x00a".replace(b"\0", b""),
    ],
)
async def test_bytes_that_are_no_utf_8_are_errors_of_their_rows_alone(raw: bytes) -> None:
    parsed = await _two("é,1\n".encode() + raw + b",2\n" + "\U0001f600\u202e\u200b\ufeff,3\n".encode())
    assert [row.fields["name"] for row in parsed.rows] == ["é", "\U0001f600\u202e\u200b\ufeff"]
    assert _told(parsed) == [(2, 3, "encoding")]
    assert "\ufffd" in parsed.errors[0].cells[0]
    assert parsed.errors[0].cells[1] == "2"
    encode({"cells": parsed.errors[0].cells})


async def test_a_told_encoding_is_used() -> None:
    parsed = await _two("Caf\xe9,1\n".encode("latin-1"), encoding="latin-1")
    assert parsed.rows[0].fields["name"] == "Caf\xe9"
    parsed = await _two(b"5 \x80,1\nbad \x81,2\n", encoding="windows-1252")
    assert parsed.rows[0].fields["name"] == "5 \u20ac"
    assert _told(parsed) == [(2, 3, "encoding")]


@pytest.mark.covers("R-21")
async def test_the_byte_order_mark_is_no_part_of_a_name() -> None:
    parsed = await _parse(b"\xef\xbb\xbfName,Value\r\na,1\r\n", {"Name": "name"})
    assert [row.fields["name"] for row in parsed.rows] == ["a"]
    parsed = await _parse(b"\xef\xbb\xbfa,1\n", {"1": "name", "2": "value"}, {"has_header": False})
    assert [(row.fields["name"], row.line) for row in parsed.rows] == [("a", 1)]


async def test_text_that_looks_like_code_is_text() -> None:
    cells = ['{"$ne":null}', "=1+1", "$where", "-0", "NaN", "9e999", str(2**63), "[" * 181, "a\u2028b\u0085c"]
    body = io.StringIO(newline="")
    csv.writer(body).writerows(["n", cell] for cell in cells)
    assert [row.fields["value"] for row in (await _two(body.getvalue().encode())).rows] == cells


@pytest.mark.covers("R-21")
async def test_the_last_row_of_a_file_with_carriage_returns_only_is_there() -> None:
    parsed = await _parse(b"Name,Value\ra,1\rb,2\r", {"Name": "name"})
    assert [row.fields["name"] for row in parsed.rows] == ["a", "b"]


CELL = st.text(alphabet='ab"",;\n\r é\0\u2028', max_size=6)
RAW = st.text(alphabet='ab"",,\n\n\r\n\r é\0', max_size=60).map(str.encode)
WRITTEN = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=8).map(lambda rows: _csv(rows).encode())
BROKEN = st.lists(RAW | st.sampled_from([b"\xff,1\n", b'"\xe9",b\n', b"a,b\n"]), max_size=4).map(b"".join)


def _csv(rows: list[list[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()


@settings(max_examples=500, deadline=None)
@given(body=RAW | WRITTEN | BROKEN, chunk=st.integers(1, 5))
@example(body=b'a,b\r"c\r\n",d\r', chunk=1)
@example(body=b'"a"b,"c"d"\n', chunk=2)
async def test_rows_and_errors_are_those_of_csv_reader(body: bytes, chunk: int) -> None:
    """An independent parser over the same bytes counts the same rows and reads the same cells."""
    # The long name keeps a body of NUL characters from looking like a binary file.
    header = b"Name," + b"V" * 2000 + b"\n"
    parsed = await _parse(header + body, {"Name": "name"}, {"delimiter": ","}, rows=chunk)
    text = body.decode(errors="replace")
    expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    cells = {row.row: row.cells for row in parsed.rows} | {error.row: error.cells for error in parsed.errors}
    assert sorted(cells) == list(range(1, len(expected) + 1))
    assert [[cell.replace("\0", "\ufffd") for cell in row] for row in expected] == [cells[n] for n in sorted(cells)]
    good = {row.row: row.fields["name"] for row in parsed.rows}
    assert good == {n: row[0].strip() for n, row in enumerate(expected, 1) if n in good}
    for error in parsed.errors:
        row = expected[error.row - 1]
        assert (
            error.code == "unclosed" or len(row) != 2 or not row[0].strip() or "\0" in "".join(row) or "\ufffd" in text
        )


HOSTILE = {
    "delimiters": b"," * (MB - 1) + b"\n",
    "quoted nothing": b'"",' * (MB // 3 - 1) + b"\n",
    "one cell": b"a" * (MB - 1) + b"\n",
    "nul": b"a,\0" * (MB // 3 - 1) + b"\n",
    "no utf-8": b"a,\xff" * (MB // 3 - 1) + b"\n",
    "small and crowded": b"," * 8_000 + b"\n",
    "small and broken": b"\xff" * 7_000 + b"," * 511 + b"\n",
    "small and nul": b"\0" * 7_000 + b"," * 511 + b"\n",
    "quotes": b'"' + b'""' * (MB // 2 - 4) + b'",b\n',
    "literal quotes": b'a"' * (MB // 2 - 4) + b",b\n",
}


@pytest.mark.parametrize("record", HOSTILE.values(), ids=HOSTILE)
async def test_no_chunk_holds_the_loop_or_outgrows_a_document(record: bytes) -> None:
    mapper = RowMapper(compile_mapping({"Name": "name"}, ("Name", "Value")))
    piece = _pieces(record * min(500, 4 * MB // len(record)))[0]
    worst = min([await _longest_hold(parse(piece, COMMA, mapper)) for _ in range(3)])
    assert worst < 0.3
    errors = (await parse(piece, COMMA, mapper)).errors
    assert len(errors) == piece.chunk.rows
    assert len(encode({"errors": [error._asdict() for error in errors]})) < 15 * MB


async def test_a_large_chunk_is_parsed_in_turns_with_the_other_tasks() -> None:
    mapper = RowMapper(compile_mapping({"Name": "name"}, ("Name", "Value")))
    (piece,) = _pieces((b"a," + b"b" * 8_000 + b"\n") * 400)
    task = asyncio.ensure_future(parse(piece, COMMA, mapper))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20
    assert len(task.result().rows) == 400


async def _longest_hold(work: Any) -> float:
    """Seconds of processor time of the longest stretch in which nobody else had a turn."""
    task = asyncio.ensure_future(work)
    longest = 0.0
    while not task.done():
        began = time.process_time()
        await asyncio.sleep(0)
        longest = max(longest, time.process_time() - began)
    return longest


async def test_records_and_parser_that_disagree_are_no_silent_loss() -> None:
    (piece,) = _pieces(b"a,1\nb,2\n")
    mapper = RowMapper(compile_mapping({"Name": "name"}, ("Name", "Value")))
    for wrong in (piece._replace(data=b"a,1\n"), piece._replace(data=b"a,1\nb,2\nc,3\n")):
        with pytest.raises((RuntimeError, IndexError)):
            await parse(wrong, COMMA, mapper)
