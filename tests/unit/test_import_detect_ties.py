"""Near-ties between delimiters are decided by the mapped names and by what the cells hold; no file is slow."""

from __future__ import annotations

import time

import pytest

from pipeline_engine.domain.imports.csv.dialect import SAMPLE_BYTES, Dialect, detect
from pipeline_engine.domain.imports.csv.header import find_header
from pipeline_engine.domain.imports.refusal import ImportRefused


def _detect(text: str, *names: str, **options: object) -> Dialect:
    return detect(text.encode(), options, names, whole=True)


def _columns(text: str, *names: str, **options: object) -> tuple[str, ...]:
    header = find_header(text.encode(), _detect(text, *names, **options), whole=True)
    assert header
    return header.columns


@pytest.mark.parametrize(
    "text",
    [
        "Deal,Stage,\nOar,New\nSail,Won\n",
        "Deal,Stage\nOar,New\nThis is a footer\nof several lines\nthat is longer\nthan the table\n",
        "Deal,Stage\nOar,New\n\n\n\n\n\n",
        "Deal,Stage,Note\nOar\nSail\nMast\n",
        "Deal,Stage\n",
    ],
)
def test_a_delimiter_that_the_mapped_header_needs_is_never_beaten_by_one_column(text: str) -> None:
    assert _detect(text, "Deal", "Stage").delimiter == ","


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize(
    ("text", "columns", "delimiter"),
    [
        ("Deal;Value (EUR, net)\nOar;1,50\n", ("Deal", "Value (EUR, net)"), ";"),
        ("Deal\tNote, long\nOar\ta, b\n", ("Deal", "Note, long"), "\t"),
        ("Deal, customer\tCity, state\nA, b\tC, d\n", ("Deal, customer", "City, state"), "\t"),
        ('Deal,"Tags; first; second"\nOar,"a; b; c"\n', ("Deal", "Tags; first; second"), ","),
    ],
)
def test_names_and_cells_decide_a_tie(text: str, columns: tuple[str, ...], delimiter: str, mapped: bool) -> None:
    assert _detect(text, *columns[:mapped]).delimiter == delimiter
    assert _columns(text, *columns[:mapped]) == columns


def test_decimal_commas_decide_where_there_is_no_header_and_the_confidence_says_so() -> None:
    for names, options in ((("1", "2"), {"has_header": False}), (("1", "2"), {}), ((), {"has_header": False})):
        dialect = _detect("Oar;1,50\nSail;2,75\n", *names, **options)
        assert (dialect.delimiter, dialect.header_row) == (";", 0)
        assert dialect.confidence < 0.9
        assert "comma" in dialect.runner_up


def test_a_line_that_names_the_delimiter_is_taken_at_its_word_if_the_file_has_it() -> None:
    dialect = _detect("sep=;\nDeal;Value\nA, b;1,5\n", "Deal")
    assert (dialect.delimiter, dialect.header_row, dialect.start) == (";", 2, 6)
    assert dialect.skipped == ("line 1, which names the delimiter",)
    assert _detect("sep=;\nDeal,Value\nA,1\n", "Deal").delimiter == ","


def test_the_word_of_the_user_wins_over_the_file() -> None:
    assert _detect("sep=;\nDeal;Value\nA;1\n", "Deal", delimiter=",").delimiter == ","
    assert _detect("Oar||1\nSail||2\n", delimiter="||", has_header=False).delimiter == "||"


def test_of_several_tables_the_one_with_the_mapped_names_is_taken() -> None:
    text = "Owner;Team\nAda;A\nBob;B\n\nDeal;Value;Stage\nOar;1;New\nSail;2;Won\n"
    second = _detect(text, "Deal", "Stage")
    assert (second.header_row, second.end_line) == (5, 0)
    assert second.skipped == ("lines 1-3 before the header",)
    first = _detect(text, "Owner")
    assert (first.header_row, first.end_line) == (1, 3)
    assert first.skipped == ("lines 5-7 another table",)


def test_every_line_that_is_no_row_is_reported() -> None:
    dialect = _detect(
        "Deals\n\nDeal,Value,Stage\nOar,1,New\nSail,2,Won\nTotal,3,\n\nMade by the CRM on Monday\n", "Deal"
    )
    assert (dialect.line, dialect.header_row, dialect.end_line) == (3, 3, 5)
    assert dialect.skipped == ("line 1 before the header", "lines 6-8 after the table")


@pytest.mark.parametrize("last", ["Total,100,New", "Oar", "Oar,,", "Total loss,5,"])
def test_a_row_that_may_be_a_deal_is_no_footer(last: str) -> None:
    assert _detect(f"Deal,Value,Stage\nA,1,New\nB,2,Won\n{last}\n", "Deal").end_line == 0


def test_a_header_of_several_rows_is_found_by_its_joined_names() -> None:
    text = "Deal,Close,\nName,Date,Value\nOar,2025-01-02,1\nSail,2025-02-03,2\n"
    assert _columns(text, "Deal Name", "Close Date") == ("Deal Name", "Close Date", "Value")
    assert _detect(text, "Deal Name").header_rows == 2


@pytest.mark.parametrize("names", [("1", "2"), ()])
def test_rows_that_are_all_alike_have_no_header(names: tuple[str, ...]) -> None:
    assert _detect("Oar,10,2025-01-01\nSail,20,2025-01-02\n", *names).header_row == 0


def test_columns_that_are_mapped_by_numbers_have_no_names() -> None:
    text = "Name,Value,Date\nSail,20,2025-01-02\n"
    assert _detect(text).header_row == 1
    assert _detect(text, "1", "2").header_row == 0
    assert _detect(text.replace("Value", ""), "1", "2").header_row == 1
    assert _columns("A,TBD,New\nB,2,Won\n", "1", "2", "3") == ("1", "2", "3")


HOSTILE = {
    "quotes": b'"' * SAMPLE_BYTES,
    "quotes that open": b'a,"b\n' * (SAMPLE_BYTES // 5),
    "delimiters": b"," * SAMPLE_BYTES,
    "all delimiters": b";,|\t" * (SAMPLE_BYTES // 4),
    "one cell": b"a" * SAMPLE_BYTES,
    "line ends": b"a,b\n" + b"\n" * SAMPLE_BYTES,
    "columns": (b",".join(b"%d" % n for n in range(500)) + b"\n") * 30,
    "backslashes": b'"\\",\n' * (SAMPLE_BYTES // 5),
    "all bytes": bytes(range(1, 256)) * 250,
}


@pytest.mark.parametrize("head", tuple(HOSTILE.values()), ids=list(HOSTILE))
def test_hostile_files_take_no_longer_than_others(head: bytes) -> None:
    began = time.process_time()
    try:
        code = detect(head[:SAMPLE_BYTES], {}, ["Deal", "Value"], whole=False) and ""
    except ImportRefused as refusal:
        code = refusal.code
    assert code in {"", "unreadable", "empty"}
    assert time.process_time() - began < 1, "a loaded machine takes several times as long as a quiet one"
