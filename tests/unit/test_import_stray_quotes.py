"""A stray quote costs no row, and a cell of several lines stays one; what may be either is an error that says so."""

from __future__ import annotations

import random
import time

import pytest

from pipeline_engine.domain.imports.csv.grammar import Grammar
from pipeline_engine.domain.imports.csv.records import Kind, RecordCutter
from tests.support.parsing import error_places, parse_file

MAPPINGS = {"Deal": "name", "Stage": "stage_id", "Note": "contact_name"}
HEAD = "Deal,Stage,Note\n"


async def _names(body: str, delimiter: str = ",", **options: object) -> list[str]:
    parsed = await parse_file((HEAD + body).replace(",", delimiter).encode(), MAPPINGS, {"delimiter": delimiter})
    assert not parsed.errors
    return [row.fields["name"] for row in parsed.rows]


async def test_an_opening_quote_swallows_no_row() -> None:
    body = 'Valve,New,"unclosed\nBolt,New,ok\nNut,New,"quoted"\nWasher,New,ok\n'
    assert await _names(body, "\t") == ["Valve", "Bolt", "Nut", "Washer"]
    parsed = await parse_file((HEAD + body).encode(), MAPPINGS)
    assert [row.fields["contact_name"] for row in parsed.rows] == ['"unclosed', "ok", "quoted", "ok"]


@pytest.mark.parametrize("closing", ['"', '7"', '"quoted"', '"a ""b"'])
async def test_490_rows_between_two_stray_quotes_are_rows(closing: str) -> None:
    rows = [f"Deal {n},New,note" for n in range(1000)]
    rows[10], rows[500] = 'Deal 10,New,"6 inch', f"Deal 500,New,{closing}"
    assert await _names("\n".join(rows)) == [f"Deal {n}" for n in range(1000)]


async def test_30_000_rows_behind_a_stray_quote_are_rows() -> None:
    rows = [f"Deal {n},New,note that is a little longer than the others" for n in range(30_000)]
    rows[10] = 'Deal 10,New,"6 inch'
    assert len(await _names("\n".join(rows))) == 30_000


@pytest.mark.parametrize(
    "note",
    [
        "one\ntwo",
        "Street 5\nBerlin, Germany",
        "a, b\nc, d, e\nf",
        'said ""no""\nand left',
        "\n\n\n",
        "no\n" * 200,
        "x, y, z\n" * 200,
        "Sites:\rx, y, z\rx, y, z\r",
        "Dear all,\n\nhere is, as promised, the offer,\nwith prices.\n",
    ],
)
async def test_a_cell_of_several_lines_stays_one(note: str) -> None:
    parsed = await parse_file(f'{HEAD}A,New,"{note}"\r\nB,New,"{note}"\r\nC,New,x\r\n'.encode(), MAPPINGS)
    assert not parsed.errors
    assert [row.cells[2] for row in parsed.rows] == [note.replace('""', '"')] * 2 + ["x"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("A,New,", "Main St {n}, Berlin, DE"),
        ('A,"New, old",', "Main St {n}, Berlin, DE"),
        ('"A","New",', "Main St {n}, Berlin, DE"),
        ('"A","New",', "item {n},2,red"),
        ('"A, Inc","New",', "item {n},2,red"),
        ('"A ""B""","New",', "item {n},2,red"),
    ],
)
async def test_a_list_written_in_another_way_than_the_rows_is_text(before: str, line: str, end: str) -> None:
    note = "Sites:\n" + "\n".join(line.format(n=n) for n in range(30))
    parsed = await parse_file(f'{HEAD}X,New,x\n{before}"{note}"{end}Y,New,y\n'.encode(), MAPPINGS)
    assert [row.cells[2] for row in parsed.rows] == ["x", note, "y"]


@pytest.mark.parametrize("before", ['"Deal 0, old","New, too",', "Deal 0, New,", '"Deal 0, old",New,', '"Deal 0",New,'])
async def test_lines_that_may_be_written_as_their_row_is_are_rows(before: str) -> None:
    rows = [f'{before}"6 inch', *(f"Deal {n},New,note" for n in range(1, 39)), 'Deal 39,New,7"']
    assert len(await _names("\n".join(rows))) == 40


async def test_one_row_written_as_the_first_makes_rows_of_all_lines() -> None:
    rows = ['Deal 0,New,"6 inch', *(f"Deal {n}, New, note" for n in range(1, 39)), 'Deal 39,New,7"']
    assert len(await _names("\n".join(rows))) == 40


async def test_what_may_be_either_is_one_error_that_names_its_lines() -> None:
    parsed = await parse_file((HEAD + 'A,New,"a\nb,b,b\nc,c,c"\nD,New,x\n').encode(), MAPPINGS)
    assert [row.fields["name"] for row in parsed.rows] == ["D"]
    assert error_places(parsed) == [(1, 2, "doubtful")]
    assert "line 2 and closes in line 4" in parsed.errors[0].message
    assert parsed.errors[0].cells == ["A", "New", "a\nb,b,b\nc,c,c"]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('"5" pipe",New,x', ['5" pipe', "New", "x"]),
        ('"Acme" GmbH,New,x', ['"Acme" GmbH', "New", "x"]),
        ('"says "hi, you"",New,x', ['says "hi, you"', "New", "x"]),
        ('5" pipe,New,7"', ['5" pipe', "New", '7"']),
        ('"a, b" c,New,x', ["a, b c", "New", "x"]),
        ('"a, b,New', ['"a', " b", "New"]),
        ('"He said\n"yes" to it",New,x', ['He said\n"yes" to it', "New", "x"]),
    ],
)
async def test_a_quote_within_a_cell_is_text(line: str, cells: list[str]) -> None:
    parsed = await parse_file(f"{HEAD}{line}\nB,New,x\n".encode(), MAPPINGS)
    assert [row.cells for row in parsed.rows] == [cells, ["B", "New", "x"]]


async def test_a_file_that_ends_in_a_quoted_cell_loses_no_line() -> None:
    parsed = await parse_file((HEAD + 'A,New,x\nB,New,"a long\ntext, and no\nend').encode(), MAPPINGS)
    assert [row.cells for row in parsed.rows] == [["A", "New", "x"], ["B", "New", '"a long']]
    assert error_places(parsed) == [(3, 4, "ragged"), (4, 5, "ragged")]


async def test_rows_of_blanks_are_skipped_and_counted() -> None:
    parsed = await parse_file(
        (HEAD + 'A,New,x\n,,\n , ,\u00a0\n"","",""\n;\nB,New,x\n' + ",,\n" * 1200).encode(), MAPPINGS
    )
    assert [(row.row, row.fields["name"]) for row in parsed.rows] == [(1, "A"), (6, "B")]
    assert error_places(parsed) == [(5, 6, "ragged")]
    assert parsed.skipped == 1203


HOSTILE = {
    "opened at line ends": b',,"\n',
    "opened": b'"a\n',
    "opened rows": b'a,b,"\n',
    "behind quotes": b'"x"y\n',
    "quotes": b'"',
    "odd quotes": b'"""a,',
    "many that open": b'"a,',
    "many that almost close": b'"a","b"c,',
    "doubled": b',"""\n',
    "short rows": b"a,,\n",
    "short": b"\n,",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("before", [b"", b'a,b,"'])
def test_the_time_of_a_call_grows_with_the_block_alone(unit: bytes, before: bytes) -> None:
    cutter = RecordCutter(Grammar(b","), width=3)
    cutter.feed(before)
    block = unit * (16 * 1024 // len(unit))
    took = []
    for _ in range(5):
        began = time.process_time()
        cutter.feed(block)
        took.append(time.process_time() - began)
        assert len(cutter._carry) <= 128 * 1024
    assert min(took) < 0.25


def test_where_the_blocks_break_changes_nothing() -> None:
    sizes = random.Random(5)  # noqa: S311 - only where to break
    parts = ["a,b,c\n", 'a,b,"c\n', '"x\n', '"x"y,1,2\n', '"",,\r\n', 'a,"b\r\nc",d\r', 'x"\n', '"""\n', ",\n", '"']
    for _ in range(300):
        data = "".join(sizes.choices(parts, k=12)).encode()
        whole = RecordCutter(Grammar(b","), width=3)
        expected = whole.feed(data) + whole.close()
        broken, found, at = RecordCutter(Grammar(b","), width=3), [], 0
        while at < len(data):
            size = sizes.choice([1, 2, 3, 9])
            found += broken.feed(data[at : at + size])
            at += size
        assert found + broken.close() == expected
        assert {record.kind for record in expected} <= {Kind.OK, Kind.ODD, Kind.DOUBTFUL}
        lines = [n for record in expected for n in range(record.line, record.line + record.lines)]
        assert len(lines) == len(set(lines))
