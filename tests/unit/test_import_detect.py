"""The dialect and the header of a file are found, or the file is refused with the reason."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import time
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.dialect import SAMPLE_BYTES, Dialect, detect
from pipeline_engine.domain.imports.csv.header import Header, find_header
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused

SAMPLE = """Deal Name,Value,Stage,Status,Contact Name,Contact Email
Acme Corp Deal,5000,qualified,open,John Doe,john@acme.com
TechStart Deal,12000,proposal,open,Jane Smith,jane@techstart.com
"""
COMMA = Dialect("utf-8", ",", '"', "double", 1, 1, 1.0, "")


def _refused(head: bytes, options: dict[str, Any] | None = None, *, whole: bool = True) -> ImportRefused:
    with pytest.raises(ImportRefused) as refusal:
        detect(head, options or {}, whole=whole)
    return refusal.value


@pytest.mark.covers("DI-08", "DI-25")
def test_the_sample_of_the_seed() -> None:
    assert detect(SAMPLE.encode(), {}, whole=True) == COMMA._replace(open=True)
    header = find_header(SAMPLE.encode(), COMMA, whole=True)
    assert header == Header(("Deal Name", "Value", "Stage", "Status", "Contact Name", "Contact Email"), 56, 2)


@pytest.mark.covers("DI-X12")
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_the_delimiter_is_found(delimiter: str, end: str, mark: bytes, quoting: Any) -> None:
    rows = [["Name", "Wert, netto", "Ort; Land"], ["Ä", "1,5", "x; y | z\tw"], ['5" nails', "2,5", "two\nlines; here"]]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    head = mark + text.getvalue().encode()
    dialect = detect(head, {}, whole=True)
    assert dialect.delimiter == delimiter
    assert dialect.encoding == "utf-8"
    header = find_header(head, dialect, whole=True)
    assert header is not None
    assert header.columns == ("Name", "Wert, netto", "Ort; Land")
    assert head[header.start :].startswith(("Ä" if quoting == csv.QUOTE_MINIMAL else '"Ä').encode())
    assert header.line == 2


def test_decimal_commas_and_texts_do_not_mislead() -> None:
    assert detect(b"Name;Wert\nA;1,5\nB;2,5\nC;3,5\n", {}, whole=True).delimiter == ";"
    assert detect(b"Name\tNote\nA\tx, y, z\nB\tu\n", {}, whole=True).delimiter == "\t"
    assert detect(b"name,note\n" + b'A,"x;y;z"\nB,"u;v;w"\n' * 9, {}, whole=True).delimiter == ","


def test_one_ragged_row_does_not_hide_the_delimiter() -> None:
    dialect = detect(b"a;b;c\n1;2;3\n1;2\n1;2;3\n", {}, whole=True)
    assert (dialect.delimiter, dialect.confidence) == (";", 0.75)


def test_a_single_column_is_found_by_its_name_whatever_its_cells_hold() -> None:
    for body in (b"Name\nAcme, Inc\nBeta, Inc\n", b"Name\n1,5\n2,5\n3,5\n"):
        dialect = detect(body, {}, ["Name"], whole=True)
        assert (dialect.delimiter, dialect.header_row) == ("", 1)
        assert dialect.confidence < 1
    assert detect(b"Name\nAcme\n", {}, ["Name"], whole=True).confidence == 1
    assert detect(b"Name\nAcme\n", {}, whole=True).confidence == 0.5


@pytest.mark.parametrize("cells", ["Acme, Inc\nBeta\nGamma, Delta, Eps\n", "A, b, c\nD, e, f\n"])
def test_a_name_without_a_delimiter_is_that_of_the_only_column(cells: str) -> None:
    assert detect(f"Deal Name\n{cells}".encode(), {}, ["Deal Name"], whole=True).delimiter == ""


def test_the_head_may_end_in_the_middle_of_a_record_or_a_character() -> None:
    body = "Name;Ort\n" + 'Ä;"x\ny"\n' * 20_000
    head = body.encode()[:SAMPLE_BYTES]
    for cut in range(0, 30, 7):
        assert detect(head[: SAMPLE_BYTES - cut], {}, whole=False) == Dialect(
            "utf-8", ";", '"', "double", 1, 1, 1.0, ""
        )


def test_a_last_row_that_is_cut_does_not_count() -> None:
    assert detect(b"a;b;c\n1;2;3\n1;2", {}, whole=False).confidence == 1
    assert detect(b"a;b;c\n1;2;3\n1;2", {}, whole=True).confidence == 0.667


def test_a_delimiter_in_the_header_alone_proves_nothing() -> None:
    assert detect(b"Name (last, first)\n" + b"Doe\n" * 5, {}, whole=True).delimiter == ""


def test_what_the_user_says_wins() -> None:
    options = {"delimiter": "|", "encoding": "Latin-1", "has_header": False}
    assert detect(SAMPLE.encode(), options, whole=True) == Dialect("iso8859-1", "|", '"', "double", 0, 0, 1.0, "")
    assert detect(SAMPLE.encode(), {"encoding": "utf-8-sig"}, whole=True) == COMMA
    marked = detect(SAMPLE.encode("utf-8-sig"), {"encoding": "cp1252"}, whole=True)
    assert (marked.encoding, marked.start) == ("utf-8", 3), "but a byte order mark is certain"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"delimiter": ""}, "delimiter"),
        ({"delimiter": "a,"}, "delimiter"),
        ({"delimiter": ",,,,,"}, "delimiter"),
        ({"delimiter": '"'}, "delimiter"),
        ({"delimiter": "\n"}, "delimiter"),
        ({"delimiter": "a"}, "delimiter"),
        ({"delimiter": 44}, "delimiter"),
        ({"delimiter": {"$ne": None}}, "delimiter"),
        ({"encoding": "utf-7"}, "encoding"),
        ({"encoding": "rot13"}, "encoding"),
        ({"encoding": "../../etc/passwd"}, "encoding"),
        ({"encoding": "utf-8\0"}, "encoding"),
        ({"encoding": "\ud800"}, "encoding"),
        ({"encoding": ["utf-8"]}, "encoding"),
        ({"encoding": "x" * 100_000}, "encoding"),
        ({"has_header": "false"}, "has_header"),
        ({"has_header": 1}, "has_header"),
    ],
)
def test_senseless_overrides_are_refused_by_name(options: dict[str, Any], code: str) -> None:
    refusal = _refused(SAMPLE.encode(), options)
    assert refusal.code == code
    assert code in str(refusal)
    assert len(str(refusal)) < 300


def _zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", SAMPLE)
    return out.getvalue()


@pytest.mark.covers("R-21")
@pytest.mark.parametrize(
    ("head", "words"),
    [
        (SAMPLE.encode("utf-32"), "UTF-32"),
        (gzip.compress(SAMPLE.encode()), "gzip"),
        (_zipped(), "zip"),
        (b"%PDF-1.7\n%...", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "Excel"),
        (b"\x7fELF\x02\x01\x01" + b"\0" * 500, "binary"),
    ],
)
def test_what_is_no_text_is_refused_with_what_to_do(head: bytes, words: str) -> None:
    refusal = _refused(head)
    assert refusal.code == UNREADABLE
    assert words in str(refusal)
    assert "save it as CSV in UTF-8" in str(refusal)


def test_a_few_nul_characters_are_a_matter_of_their_rows() -> None:
    assert detect(b"Name,Value\nA\0,1\nB,2\n", {}, whole=True).delimiter == ","


@pytest.mark.parametrize("head", [b"", b"\n", b"\r\n" * 500, codecs.BOM_UTF8, codecs.BOM_UTF8 + b"\r\r"])
def test_an_empty_file_is_refused(head: bytes) -> None:
    assert _refused(head).code == "empty"
    with pytest.raises(ImportRefused) as refusal:
        find_header(head, COMMA, whole=True)
    assert refusal.value.code == "empty"


def test_blank_lines_before_the_header_are_counted() -> None:
    for mark in (b"", codecs.BOM_UTF8):
        head = mark + b"\n\r\n\rName,Value\r\nA,1\r\n"
        assert find_header(head, COMMA, whole=False) == Header(("Name", "Value"), len(mark) + 16, 5)


def test_without_a_header_columns_have_numbers_and_the_first_row_is_data() -> None:
    dialect = COMMA._replace(header_row=0)
    assert find_header(b"\nA,1,x\nB,2,y\n", dialect, whole=False) == Header(("1", "2", "3"), 1, 2)
    assert find_header(codecs.BOM_UTF8 + b"A,1", dialect, whole=True) == Header(("1", "2"), 3, 1)


def test_more_is_asked_for_until_the_header_ends() -> None:
    text = b'"a\nb",' + b"x" * 10_000 + b",c\n"
    for cut in range(0, len(text), 997):
        assert find_header(text[:cut], COMMA, whole=False) is None
    assert find_header(text, COMMA, whole=False) == Header(("a\nb", "x" * 10_000, "c"), len(text), 3)
    assert find_header(text[:-1] + b"\r", COMMA, whole=False) is None, "a line feed may follow"
    assert find_header(text[:-1], COMMA, whole=True) == Header(("a\nb", "x" * 10_000, "c"), len(text) - 1, 3)


@pytest.mark.covers("R-21")
@pytest.mark.parametrize(
    "head",
    [
        b'"' + b"a" * 1_100_000,
        b"," * 1_100_000,
        b"\n" * 1_100_000,
        b"a" * 200_000 + b"\n",
        b'"' + b"x" * 1_048_576 + b'"\nb\n',
    ],
)
def test_a_header_without_end_or_sense_is_refused_in_no_time(head: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ImportRefused) as refusal:
        find_header(head, COMMA, whole=False)
    assert time.process_time() - began < 0.5
    assert refusal.value.code == "header"


def test_a_quote_that_never_closes_in_the_header_is_an_ordinary_character() -> None:
    assert find_header(b'Name,"Value\nA,1\n', COMMA, whole=True) == Header(("Name", '"Value'), 12, 2)
    began = time.process_time()
    assert find_header(b'a,"b\n' + b"c\n" * 600_000, COMMA, whole=False) == Header(("a", '"b'), 5, 2)
    assert time.process_time() - began < 0.5


def test_a_header_that_is_not_in_the_encoding_is_unreadable() -> None:
    with pytest.raises(ImportRefused, match="UTF-8") as refusal:
        find_header("Straße,Wert\n".encode("latin-1"), COMMA, whole=True)
    assert refusal.value.code == UNREADABLE
    latin = COMMA._replace(encoding="iso8859-1")
    header = find_header("Straße,Wert\n".encode("latin-1"), latin, whole=True)
    assert header is not None
    assert header.columns == ("Straße", "Wert")


@given(head=st.binary(max_size=200), whole=st.booleans())
def test_any_bytes_give_a_dialect_and_a_header_or_a_refusal(head: bytes, whole: bool) -> None:
    try:
        dialect = detect(head, {}, whole=whole)
        header = find_header(head, dialect, whole=whole)
    except ImportRefused as refusal:
        if refusal.code in {"empty", UNREADABLE, "header"}:
            return
        raise
    assert 0 <= dialect.confidence <= 1
    assert header is None or header.columns


def test_a_dialect_that_an_older_version_stored_is_read() -> None:
    older = {"encoding": "utf-8", "delimiter": ",", "quote": '"', "header_row": 1, "confidence": 1.0}
    assert Dialect.read(older) == COMMA
    found = COMMA._replace(skipped=("lines 1-2 before the header",), start=20)
    assert Dialect.read({**found._asdict(), "skipped": list(found.skipped)}) == found
