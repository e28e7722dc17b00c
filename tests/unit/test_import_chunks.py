"""Chunks carry every row once, in order, with their bytes, in bounded memory."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import pytest
from bson import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv import chunks
from pipeline_engine.domain.imports.csv.chunks import Chunk, ChunkCutter, Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.grammar import Grammar
from pipeline_engine.domain.imports.csv.records import Kind, Record, RecordCutter

COMMA = Dialect("utf-8", ",", '"', "double", 1, 1, 1.0, "")
TEXT = st.text(alphabet='ab"",,\n\n\r\n\r é', max_size=80)
LIMITS = st.tuples(st.integers(1, 4), st.integers(12, 30), st.integers(4, 12))


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    """What is kept of a large record is small, so that records of a few bytes are large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "MAX_SHOWN_BYTES", 3)
        yield


def _pieces(data: bytes, rows: int, size: int, limit: int, seed: int = 0) -> list[Piece]:
    cutter = ChunkCutter(COMMA, start=0, line=1, rows=rows, size=size, limit=limit)
    breaks = random.Random(seed)  # noqa: S311 - only where to break
    pieces: list[Piece] = []
    at = 0
    while at < len(data):
        step = breaks.choice([1, 2, 5, 100])
        pieces += cutter.feed(data[at : at + step])
        at += step
    return pieces + cutter.close()


def _records(data: bytes, limit: int) -> list[Record]:
    cutter = RecordCutter(Grammar(b","), limit=limit)
    return cutter.feed(data) + cutter.close()


def _chunks(pieces: Sequence[Piece]) -> list[Chunk]:
    return [piece.chunk for piece in pieces]


@given(text=TEXT, limits=LIMITS, seed=st.integers(0, 9))
def test_every_record_is_in_one_chunk_with_its_bytes(text: str, limits: tuple[int, int, int], seed: int) -> None:
    data, (rows, size, limit) = text.encode(), limits
    pieces = _pieces(data, rows, size, limit, seed)
    assert [record for piece in pieces for record in piece.records] == _records(data, limit)
    row = 1
    for n, (chunk, records, held) in enumerate(pieces):
        assert (chunk.n, chunk.first_row, chunk.rows) == (n, row, len(records))
        assert (chunk.start, chunk.end) == (records[0].start, records[-1].end)
        assert (chunk.first_line, chunk.last_line) == (records[0].line, records[-1].line + records[-1].lines - 1)
        assert held == data[chunk.start : chunk.loaded]
        row += len(records)


@given(text=TEXT, limits=LIMITS, seed=st.integers(0, 9))
def test_chunks_keep_their_limits_and_are_no_smaller_than_needed(
    text: str, limits: tuple[int, int, int], seed: int
) -> None:
    data, (rows, size, limit) = text.encode(), limits
    pieces = _pieces(data, rows, size, limit, seed)
    for piece, following in zip_longest(pieces, pieces[1:]):
        chunk = piece.chunk
        if any(record.kind is not Kind.OK for record in piece.records):
            assert chunk.rows == 1
            continue
        assert chunk.kind is Kind.OK
        assert chunk.rows <= rows
        assert chunk.end - chunk.start <= size
        if following and following.chunk.kind is Kind.OK and chunk.rows < rows:
            assert following.records[0].end - chunk.start > size


@given(text=TEXT, limits=LIMITS, seed=st.integers(0, 9))
def test_where_the_blocks_break_changes_nothing(text: str, limits: tuple[int, int, int], seed: int) -> None:
    assert _pieces(text.encode(), *limits, seed) == _pieces(text.encode(), *limits, seed + 1)


@given(text=TEXT, limits=LIMITS)
def test_a_chunk_read_back_from_the_file_has_the_same_records(text: str, limits: tuple[int, int, int]) -> None:
    for chunk, records, data in _pieces(text.encode(), *limits):
        stored = decode(encode(chunk._asdict()))
        again = Chunk.read(stored)
        assert again == chunk
        assert again.piece(data, COMMA) == Piece(chunk, records, data)


@given(text=TEXT, limits=LIMITS, data=st.data())
def test_planning_goes_on_behind_any_chunk(text: str, limits: tuple[int, int, int], data: st.DataObject) -> None:
    rows, size, limit = limits
    pieces = _pieces(text.encode(), *limits)
    if not pieces:
        return
    last = data.draw(st.sampled_from(_chunks(pieces)))
    cutter = ChunkCutter(
        COMMA,
        start=last.end,
        line=last.last_line + 1,
        n=last.n + 1,
        first_row=last.first_row + last.rows,
        rows=rows,
        size=size,
        limit=limit,
    )
    assert cutter.feed(text.encode()[last.end :]) + cutter.close() == pieces[last.n + 1 :]


def test_a_chunk_is_handed_out_as_soon_as_it_is_full() -> None:
    cutter = ChunkCutter(COMMA, start=0, line=1, rows=2)
    assert [piece.chunk.rows for piece in cutter.feed(b"a\nb\nc\nd\ne\n")] == [2, 2]
    assert [piece.data for piece in cutter.close()] == [b"e\n"]


@pytest.mark.covers("DI-X4", "R-21")
def test_a_record_without_end_is_held_neither_in_memory_nor_in_a_chunk() -> None:
    cutter = ChunkCutter(COMMA, start=0, line=1, limit=100_000)
    pieces = cutter.feed(b'a,b\nc,"d')
    for _ in range(100):
        pieces += cutter.feed(b"e" * 10_000)
        assert len(cutter._window) <= 110_000
    assert [piece.data for piece in pieces] == [b"a,b\n"], "what came before need not wait for its end"
    pieces = cutter.feed(b'"\nf,g\n') + cutter.close()
    assert [piece.chunk.kind for piece in pieces] == [Kind.TOO_LARGE, Kind.OK]
    assert pieces[0].data == b'c,"'
    assert pieces[0].chunk == Chunk(1, 2, 4, 1_000_010, 2, 2, 1, Kind.TOO_LARGE, encoding="utf-8")
    assert pieces[1].data == b"f,g\n"


@pytest.mark.covers("DI-X4")
def test_memory_does_not_grow_with_the_file() -> None:
    cutter = ChunkCutter(COMMA, start=0, line=1)
    block = b"Acme,5000,qualified\n" * 3_000
    for _ in range(50):
        cutter.feed(block)
        assert len(cutter._window) < 500 * 20
        assert len(cutter._waiting) < 500
