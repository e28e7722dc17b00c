"""A table in any dialect and encoding comes back cell for cell, and of no bytes at all a line is lost in silence."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bson import decode, encode
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.chunks import Chunk, ChunkCutter, Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.mapping import compile_mapping
from pipeline_engine.domain.imports.csv.parse import Parsed, parse
from pipeline_engine.domain.imports.csv.recoder import recoded
from pipeline_engine.domain.imports.csv.records import Kind
from pipeline_engine.domain.imports.csv.row import RowMapper

ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "cp1252", "iso8859-15", "mac_roman", "cp1250", "cp1251", "koi8-r"]
WIDE = ["shift_jis", "gb18030", "big5", "euc_kr"]
TEXT = st.text(alphabet="ab1 \n,;|\t\"'\\é€ж日본", max_size=9)
END = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    quote = draw(st.sampled_from(['"', "'", ""]))
    escape = draw(st.sampled_from(["double", "backslash"] if quote else ["backslash", ""]))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", " ", ", ", "||", "::", "¦", ""]))
    return Dialect(draw(st.sampled_from(ENCODINGS + WIDE)), delimiter, quote, escape, 0, 0, 1.0, "")


def _written(cell: str, dialect: Dialect, always: bool) -> str:
    delimiter, quote = dialect.delimiter, dialect.quote
    special = [one for one in ("\n", "\r", '"', "'", "\\", delimiter, delimiter[:1], delimiter[-1:]) if one]
    if not quote:
        return "".join("\\" + one if one in "\n\\" + delimiter else one for one in cell) if dialect.escape else cell
    if not always and not any(one in cell for one in special):
        return cell
    escaped = cell.replace("\\", "\\\\").replace(quote, "\\" + quote) if dialect.escape == "backslash" else cell
    return quote + (escaped if dialect.escape == "backslash" else cell.replace(quote, quote * 2)) + quote


async def _read(data: bytes, dialect: Dialect, width: int, rows: int = 3) -> tuple[list[Piece], list[Parsed]]:
    columns = [str(n) for n in range(1, width + 1)]
    mapper = RowMapper(compile_mapping({str(n): f"{n:024x}" for n in range(1, width + 1)}, columns))
    cutter = ChunkCutter(dialect, width=width, start=0, line=1, rows=rows, limit=200)
    pieces: list[Piece] = []
    sizes, at = random.Random(len(data)), 0  # noqa: S311 - only where to break
    while at < len(data):
        size = sizes.choice([1, 2, 5, 100])
        pieces += cutter.feed(data[at : at + size])
        at += size
    pieces += cutter.close()
    return pieces, [await parse(piece, dialect, mapper) for piece in pieces]


def _cells(parsed: Sequence[Parsed]) -> dict[int, list[str]]:
    return {row.row: row.cells for part in parsed for row in part.rows}


@given(
    dialect=dialects(), rows=st.lists(st.lists(TEXT, min_size=3, max_size=3), max_size=5), end=END, always=st.booleans()
)
async def test_a_table_comes_back_cell_for_cell(
    dialect: Dialect, rows: list[list[str]], end: str, always: bool
) -> None:
    width = 3 if dialect.delimiter else 1
    rows = [row[:width] for row in rows]
    if not dialect.quote and not dialect.escape:
        rows = [["".join(one for one in cell if one not in "\n" + dialect.delimiter) for cell in row] for row in rows]
    lines = [dialect.delimiter.join(_written(cell, dialect, always) for cell in row) for row in rows]
    text = "".join(line + end for line in lines)
    try:
        data = text.encode(dialect.encoding)
    except UnicodeEncodeError:
        assume(False)
    _, parsed = await _read(data, dialect, width)
    expected = [row for row, line in zip(rows, lines, strict=True) if line.strip("\r\n")]
    errors = {error.row: error for part in parsed for error in part.errors}
    assert sum(part.skipped for part in parsed) == sum(not "".join(row).strip() for row in expected) or errors
    for row, cells in _cells(parsed).items():
        if not any(error.row < row for error in errors.values()):
            assert cells == expected[row - 1]
    assert {error.code for error in errors.values()} <= {"doubtful", "too_large"}
    assert len(errors) + len(_cells(parsed)) + sum(part.skipped for part in parsed) == len(expected)


CHAOS = st.text(alphabet='ab"",,,\n\n\n\r\\;\'\0', max_size=90).map(str.encode)


@given(data=CHAOS | st.binary(max_size=90), dialect=dialects(), width=st.integers(1, 4))
@example(data=b'a,"b\nc,d\n"e",f\n', dialect=Dialect("utf-8", ",", '"', "double", 0, 0, 1.0, ""), width=2)
async def test_no_line_of_any_bytes_is_lost_in_silence(data: bytes, dialect: Dialect, width: int) -> None:
    pieces, parsed = await _read(data, dialect, width)
    for piece, part in zip(pieces, parsed, strict=True):
        assert len(part.rows) + len(part.errors) + part.skipped == piece.chunk.rows == len(piece.records)
    text = recoded(data, dialect.encoding)
    filled = {n for n, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").splitlines(), 1) if line}
    lines = [n for piece in pieces for one in piece.records for n in range(one.line, one.line + one.lines)]
    assert filled <= set(lines)
    assert len(lines) == len(set(lines))


@given(data=CHAOS | st.binary(max_size=90), dialect=dialects(), width=st.integers(1, 4))
async def test_a_chunk_read_back_from_the_file_has_the_same_records(data: bytes, dialect: Dialect, width: int) -> None:
    pieces, _ = await _read(data, dialect, width)
    for piece in pieces:
        chunk = Chunk.read(decode(encode(piece.chunk._asdict())))
        again = chunk.piece(data[chunk.start : chunk.loaded], dialect)
        assert again.chunk == piece.chunk
        if chunk.kind is Kind.OK:
            assert again == piece
    if pieces:
        last = pieces[len(pieces) // 2].chunk
        go_on = ChunkCutter(
            dialect, width=width, start=last.end, line=last.last_line + 1, n=last.n + 1,
            first_row=last.first_row + last.rows, rows=3, limit=200,
        )  # fmt: skip
        assert [one.chunk for one in go_on.feed(data[last.end :]) + go_on.close()] == [
            piece.chunk for piece in pieces[last.n + 1 :]
        ]
