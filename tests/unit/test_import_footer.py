"""What stands behind a table is left out with a word about it; a row that may be a deal is none of that."""

from __future__ import annotations

import pytest

from pipeline_engine.domain.imports.csv.dialect import detect

ALL = ("Deal", "Value", "Note")


@pytest.mark.parametrize(
    ("rows", "mapped"),
    [
        ("Big Corp deal\n", ("Deal",)),
        ("Big Corp deal\n", ALL),
        ("Big Corp deal\nSmall Corp deal\n", ALL),
        ("\nBig Corp deal,,\n", ("Deal",)),
        ("\nBig Corp: deal,,\n", ("Deal",)),
        ("Total,500,\n", ("Deal", "Value")),
        ("Total\n", ("Deal",)),
    ],
)
def test_a_row_whose_mapped_cells_are_filled_like_the_others_is_a_row(rows: str, mapped: tuple[str, ...]) -> None:
    text = f"Deal,Value,Note\nA,100,x\nB,200,x\n{rows}"
    assert detect(text.encode(), {}, mapped, whole=True).end_line == 0


def test_a_cell_that_other_rows_lack_too_is_not_needed() -> None:
    text = b"Deal,Value,Note\nA,100,x\nB,,x\n\nBig Corp deal,,\n"
    assert detect(text, {}, ("Deal", "Value"), whole=True).end_line == 0


def test_rows_of_names_alone_are_rows_behind_a_blank_one_too() -> None:
    text = b"Deal,Value,Note\nA,,\nB,,\n,,\nBig Corp deal,,\n"
    assert detect(text, {}, ("Deal", "Value"), whole=True).end_line == 0


def test_a_file_of_one_column_has_no_footer() -> None:
    assert detect(b"Deal\nA\nShell\nTotal\n", {}, ("Deal",), whole=True).end_line == 0


@pytest.mark.parametrize(
    ("rows", "mapped"),
    [
        ("\nBig Corp deal,,\n", ALL),
        ("\nBig Corp deal\n", ("Deal",)),
        ("Total,300,\n", ("Deal", "Value")),
        ("Total,300,\n", ("Deal",)),
        ("Total,500,\n", ALL),
        ("Total,,\n", ALL),
        ("End of report\n2 rows in all\nSource: the CRM\n", ALL),
        ("# by the CRM\n", ALL),
    ],
)
def test_totals_and_notes_are_no_rows(rows: str, mapped: tuple[str, ...]) -> None:
    text = f"Deal,Value,Note\nA,100,x\nB,200,x\n{rows}"
    assert detect(text.encode(), {}, mapped, whole=True).end_line == 3


def test_a_sum_is_known_however_its_numbers_are_written() -> None:
    for total, kept in (("900", 4), ("900,00 €", 4), ("901", 0)):
        text = f"Deal;Value;Note\nA;1.100,50;x\nB;TBD;x\nC;-200,50;x\nTotal;{total};\n"
        assert detect(text.encode(), {}, ("Deal", "Value"), whole=True).end_line == kept


def test_a_row_below_notes_ends_them() -> None:
    text = b"Deal,Value,Note\nA,100,x\nB,200,x\n\nNew: Big Corp deal,,\nMade by the CRM\n"
    dialect = detect(text, {}, ("Deal",), whole=True)
    assert (dialect.end_line, dialect.skipped) == (5, ("line 6 after the table",))
