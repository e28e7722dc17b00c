"""Records are cut exactly where Python's `csv.reader` sees them, whatever the blocks."""

from __future__ import annotations

import csv
import io
import random
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.grammar import Grammar
from pipeline_engine.domain.imports.csv.records import BOM, Kind, Record, RecordCutter

# Few letters, so that quotes, delimiters and line ends meet often.
TEXT = st.text(alphabet='ab"",,;\n\r\n\r é', max_size=60)
CELL = st.text(alphabet='ab",;\n\r é\x00\u2028\x85', max_size=8)
WRITTEN = st.builds(
    lambda rows, end: _written(rows, end),
    st.lists(st.lists(CELL, min_size=1, max_size=4)),
    st.sampled_from(["\n", "\r\n", "\r"]),
)


def _written(rows: list[list[str]], end: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end).writerows(rows)
    return out.getvalue()


def _blocks(data: bytes, seed: int) -> Iterator[bytes]:
    sizes = random.Random(seed)  # noqa: S311 - only where to break
    at = 0
    while at < len(data):
        size = sizes.choice([1, 1, 2, 3, 7, 64])
        yield data[at : at + size]
        at += size


def _cut(data: bytes, delimiter: bytes = b",", seed: int | None = None, limit: int = 1024 * 1024) -> list[Record]:
    cutter = RecordCutter(Grammar(delimiter), limit=limit)
    records = []
    for block in [data] if seed is None else _blocks(data, seed):
        records += cutter.feed(block)
    return records + cutter.close()


def _rows(text: str, delimiter: str = ",") -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]


def _lines(text: str, delimiter: str) -> list[tuple[int, int]]:
    """First line and number of lines of each row, as `csv.reader` counts them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found, before = [], 0
    for row in reader:
        if row:
            found.append((before + 1, reader.line_num - before))
        before = reader.line_num
    return found


@given(text=TEXT | WRITTEN, delimiter=st.sampled_from(",;"), seed=st.integers(0, 9))
@example(text='a"\n"b', delimiter=",", seed=0)
@example(text='"a""\n"', delimiter=",", seed=0)
@example(text='"x"y,"z"\n', delimiter=",", seed=1)
@example(text='"\r\n"\r\r\na', delimiter=",", seed=2)
def test_records_are_those_of_csv_reader(text: str, delimiter: str, seed: int) -> None:
    data = text.encode()
    records = _cut(data, delimiter.encode(), seed)
    slices = [data[record.start : record.end].decode() for record in records]
    assert [_rows(part, delimiter) for part in slices] == [[row] for row in _rows(text, delimiter)]
    assert [(record.line, record.lines) for record in records] == _lines(text, delimiter)
    assert records == _cut(data, delimiter.encode())


@given(text=TEXT, seed=st.integers(0, 9))
def test_the_slices_and_blank_lines_between_them_cover_the_input(text: str, seed: int) -> None:
    data = text.encode()
    records = _cut(data, seed=seed)
    edges = [0, *(edge for record in records for edge in record[:2]), len(data)]
    assert edges == sorted(edges)
    gaps = b"".join(data[start:end] for start, end in list(pairwise(edges))[::2])
    assert not gaps.strip(b"\r\n")


@given(text=TEXT, seed=st.integers(0, 9), limit=st.integers(1, 12))
def test_the_limit_changes_only_the_kind(text: str, seed: int, limit: int) -> None:
    data = text.encode()
    free, limited = _cut(data, seed=seed), _cut(data, seed=seed, limit=limit)
    assert [record[:4] for record in limited] == [record[:4] for record in free]
    for record in limited:
        if record.kind != Kind.UNCLOSED:
            assert record.kind == (Kind.TOO_LARGE if record.end - record.start > limit else Kind.OK)


@given(text=TEXT, seed=st.integers(0, 9), data=st.data())
def test_cutting_goes_on_from_any_record(text: str, seed: int, data: st.DataObject) -> None:
    records = _cut(text.encode())
    if records:
        first = data.draw(st.integers(0, len(records) - 1))
        again = RecordCutter(Grammar(b","), start=records[first].start, line=records[first].line)
        found = [
            record for block in _blocks(text.encode()[records[first].start :], seed) for record in again.feed(block)
        ]
        assert found + again.close() == records[first:]


@given(text=TEXT, seed=st.integers(0, 9))
def test_a_quote_never_closed_is_reported_and_only_then(text: str, seed: int) -> None:
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
        open_at_end = False
    except csv.Error as failure:
        open_at_end = str(failure) == "unexpected end of data"
        if not open_at_end:
            return  # strict mode stops at `"x"y`, which is fine here
    kinds = [record.kind for record in _cut(text.encode(), seed=seed)]
    assert (kinds[-1:] == [Kind.UNCLOSED]) == open_at_end
    assert Kind.UNCLOSED not in kinds[:-1]


@given(text=TEXT, seed=st.integers(0, 9))
def test_a_byte_order_mark_is_skipped_at_the_start_only(text: str, seed: int) -> None:
    plain = _cut(text.encode())
    marked = _cut(BOM + text.encode(), seed=seed)
    assert [record._replace(start=record.start - 3, end=record.end - 3) for record in marked] == plain
    assert _cut(BOM[:2]) == [Record(0, 2, 1, 1, Kind.OK)]
    assert RecordCutter(Grammar(b","), start=5).feed(BOM + b"a\n") == [Record(5, 10, 1, 1, Kind.OK)]
    assert _cut(b"a\n" + BOM + b"\n")[1] == Record(2, 6, 2, 1, Kind.OK)


@pytest.mark.covers("DI-X4", "R-21")
def test_a_record_beyond_the_limit_costs_no_memory_and_the_next_one_is_found() -> None:
    cutter = RecordCutter(Grammar(b","))
    records = cutter.feed(b'a,b\nc,"')
    for _ in range(50):
        records += cutter.feed(b"x" * 99_999 + b"\n")
        assert len(cutter._carry) <= 2
        assert cutter.pending == 4
    records += cutter.feed(b'"\nd,e\n')
    assert records == [
        Record(0, 4, 1, 1, Kind.OK),
        Record(4, 5_000_009, 2, 51, Kind.TOO_LARGE),
        Record(5_000_009, 5_000_013, 53, 1, Kind.OK),
    ]
    assert cutter.pending == 5_000_013


@pytest.mark.covers("R-21")
def test_a_quote_that_never_closes_keeps_what_came_before() -> None:
    cutter = RecordCutter(Grammar(b","))
    records = cutter.feed(b'a,b\nc,"d\n')
    for _ in range(20):
        records += cutter.feed(b'e ""\n' * 20_000)
    assert [record.kind for record in records + cutter.close()] == [Kind.OK, Kind.UNCLOSED]


def test_a_million_blank_lines_hold_no_record() -> None:
    assert _cut(b"\n" * 1_000_000 + b"a\n") == [Record(1_000_000, 1_000_002, 1_000_001, 1, Kind.OK)]


HOSTILE = {
    "record of two lines": b'"\n"\n',
    "blank": b"\n",
    "carriage returns": b"\r",
    "short": b"a\n",
    "quotes": b'"',
    "literal quotes": b'a"',
    "opened at line ends": b'a,"\n',
    "opened": b'"a\n',
    "delimiters": b",",
    "behind quotes": b'"x"y',
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_time_of_a_call_grows_with_the_block_alone(unit: bytes) -> None:
    cutter = RecordCutter(Grammar(b","))
    block = unit * (64 * 1024 // len(unit))
    took = []
    for _ in range(12):
        began = time.process_time()
        cutter.feed(block)
        took.append(time.process_time() - began)
    assert min(took[6:]) < 0.1
