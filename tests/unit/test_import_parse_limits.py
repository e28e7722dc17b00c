"""Records that are too large, broken or hostile: each is one error row, and no chunk holds up the loop."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from typing import Any

import pytest
from bson import encode
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.chunks import ChunkCutter, Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect, detect
from pipeline_engine.domain.imports.csv.mapping import compile_mapping
from pipeline_engine.domain.imports.csv.parse import parse
from pipeline_engine.domain.imports.csv.row import RowMapper
from pipeline_engine.domain.imports.csv.values import MAX_FIELD_BYTES
from pipeline_engine.domain.imports.refusal import ImportRefused
from tests.support.parsing import error_places, parse_file, parse_two_columns

COMMA = Dialect("utf-8", ",", '"', "double", 1, 1, 1.0, "")
MB = 1024 * 1024


def _pieces(data: bytes) -> list[Piece]:
    cutter = ChunkCutter(COMMA, start=0, line=1)
    return cutter.feed(data) + cutter.close()


@pytest.mark.covers("R-21")
@pytest.mark.parametrize("cell", ["x" * MAX_FIELD_BYTES, "é" * (MAX_FIELD_BYTES // 2), '""' * MAX_FIELD_BYTES])
async def test_a_field_may_have_64_kb_of_utf_8_and_not_a_byte_more(cell: str) -> None:
    parsed = await parse_two_columns(f'a,"{cell}"\nb,"{cell}e"\n'.encode())
    assert [row.fields["value"] for row in parsed.rows] == [cell.replace('""', '"')]
    assert error_places(parsed) == [(2, 3, "field_too_large")]


@pytest.mark.covers("R-21")
@pytest.mark.parametrize("size", [131_073, 1_000_000])
async def test_a_field_beyond_the_parsers_own_limit_ends_nothing(size: int) -> None:
    parsed = await parse_two_columns(b"a,1\nb," + b"x" * size + b"\nc,3\n")
    assert [row.fields["name"] for row in parsed.rows] == ["a", "c"]
    assert error_places(parsed) == [(2, 3, "field_too_large")]
    assert parsed.errors[0].cells[0] == "b"
    assert len(parsed.errors[0].cells[1]) < 10_000


@pytest.mark.covers("R-21")
async def test_a_field_of_50_mb_and_one_that_never_ends() -> None:
    huge = b"b," + b"x" * (50 * MB) + b"\n"
    parsed = await parse_two_columns(b"a,1\n" + huge + b'c,3\nd,"4\n' + b"e,5\n" * 1000)
    assert [row.fields["name"] for row in parsed.rows] == ["a", "c", "d"] + ["e"] * 1000
    assert error_places(parsed) == [(2, 3, "too_large")]
    assert all(len("".join(error.cells)) < 10_000 for error in parsed.errors)


@pytest.mark.covers("R-21")
async def test_a_million_cells_are_one_ragged_row() -> None:
    began = time.process_time()
    parsed = await parse_two_columns(
        b"a,1\n" + b"," * 1_000_000 + b"\n" + b'"",' * 300_000 + b"\n" + b"x," * 20_000 + b"\nb,2\n"
    )
    assert time.process_time() - began < 1
    assert [row.fields["name"] for row in parsed.rows] == ["a", "b"]
    assert error_places(parsed) == [(2, 3, "ragged"), (3, 4, "ragged"), (4, 5, "ragged")]
    assert all(len(error.cells) <= 8192 for error in parsed.errors)


@pytest.mark.parametrize("surplus", [600, 16_381])
async def test_empty_columns_to_the_end_of_a_sheet_are_no_columns(surplus: int) -> None:
    text = b"\n".join(line + b"," * surplus for line in (b"Name,Value,", b"a,1,x", b"b,2,"))
    parsed = await parse_file(text, {"Name": "name", "Value": "value"})
    assert [(row.fields["name"], len(row.cells)) for row in parsed.rows] == [("a", 512), ("b", 512)]
    with pytest.raises(ImportRefused, match="at most 512"):
        await parse_file(text.replace(b"\n", b"last\n", 1), {"Name": "name"})


async def test_many_delimiters_inside_quotes_are_text() -> None:
    cell = "a,b;c\r\n" * 9_000
    parsed = await parse_two_columns(f'a,"{cell}"\n'.encode())
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
    parsed = await parse_two_columns("é,1\n".encode() + raw + b",2\n" + "\U0001f600\u202e\u200b\ufeff,3\n".encode())
    assert [row.fields["name"] for row in parsed.rows] == ["é", "\U0001f600\u202e\u200b\ufeff"]
    assert error_places(parsed) == [(2, 3, "encoding")]
    assert "\ufffd" in parsed.errors[0].cells[0]
    assert parsed.errors[0].cells[1] == "2"
    encode({"cells": parsed.errors[0].cells})


CELL = st.text(alphabet='ab"",;\n\r é\0\u2028', max_size=6)
RAW = st.text(alphabet='ab"",,\n\n\r\n\r é\0', max_size=60).map(str.encode)
WRITTEN = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=8).map(lambda rows: _csv(rows).encode())
BROKEN = st.lists(RAW | st.sampled_from([b"\xff,1\n", b'"\xe9",b\n', b"a,b\n"]), max_size=4).map(b"".join)


def _csv(rows: list[list[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()


@given(body=RAW | WRITTEN | BROKEN, chunk=st.integers(1, 5))
@example(body=b'a,b\r"c\r\n",d\r', chunk=1)
async def test_rows_and_errors_are_those_of_csv_reader(body: bytes, chunk: int) -> None:
    """An independent parser over the same bytes counts the same rows and reads the same cells, if no quote is stray."""
    # The long name keeps a body of NUL characters from looking like a binary file.
    header = b"Name," + b"V" * 2000 + b"\n"
    text = body.decode(errors="replace")
    try:
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        return
    assume(text.count(",") < 2)  # not enough for two rows within a cell
    options = {"delimiter": ",", "encoding": "utf-8"}
    assume(not detect(header + body, options, ["Name"], whole=True).end_line)  # what is behind the table is reported
    parsed = await parse_file(header + body, {"Name": "name"}, options, rows=chunk)
    cells = {row.row: row.cells for row in parsed.rows} | {error.row: error.cells for error in parsed.errors}
    blank = [n for n, row in enumerate(expected, 1) if not "".join(row).strip()]
    assert sorted([*cells, *blank]) == list(range(1, len(expected) + 1)) or "\0" in text or "\ufffd" in text
    assert len(blank) >= parsed.skipped
    for n, row in cells.items():
        assert [cell.replace("\0", "\ufffd") for cell in expected[n - 1]] == row
    for error in parsed.errors:
        row = expected[error.row - 1]
        assert len(row) != 2 or not row[0].strip() or "\0" in "".join(row) or "\ufffd" in text


HOSTILE = {
    "delimiters": b"x" + b"," * (MB - 2) + b"\n",
    "quoted nothing": b'"",' * (MB // 3 - 1) + b"\n",
    "one cell": b"a" * (MB - 1) + b"\n",
    "nul": b"a,\0" * (MB // 3 - 1) + b"\n",
    "no utf-8": b"a,\xff" * (MB // 3 - 1) + b"\n",
    "small and crowded": b"x" + b"," * 8_000 + b"y\n",
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
    """Seconds of processor time of the longest stretch in which no other task had a turn."""
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
