"""Rows that look odd stay rows; only a header of its own begins another table."""

from __future__ import annotations

import pytest

from pipeline_engine.domain.imports.csv.dialect import SAMPLE_BYTES, Dialect, detect
from tests.support.parsing import error_places, parse_file

MAPPINGS = {"Deal Name": "name", "Value": "value", "Stage": "stage_id"}
HEAD = "Deal Name,Value,Stage\n"


def _detect(text: str) -> Dialect:
    return detect(text.encode(), {}, list(MAPPINGS), whole=len(text) <= SAMPLE_BYTES)


@pytest.mark.parametrize(
    ("text", "names", "ragged"),
    [
        (HEAD + "A,1,New\nB,2\nC,3\nD,3\n", "A", 3),
        (HEAD + "A,500,New\nB,1,000,New\nC,2,000,New\nD,3,000,New\n", "A", 3),
        (HEAD + "A,500,New\nAcme, Inc,1,New\nBeta, Ltd,2,New\nC, Co,3,New\n", "A", 3),
        (HEAD + "A,1,New\nB,2,New,x\nC,3,New,x\nD,4,New,x\n", "A", 3),
        (HEAD + "A,1,New\n\nB,2\nC,3\n\nD,4,New\n", "AD", 2),
        ("Deal Name,Value,Stage,Note\nA,1,New,x\nB,2,New,x\nC,3,New,x\n\nD,4,Won\nE,5,Won\n", "ABC", 2),
        ("Deal Name,Value,Stage,Note\nA,1,New,x\nB,2,New,x\nD,TBD,New\nE,5,Won\nF,6,Won\nG,7,New,x\n", "ABG", 3),
    ],
)
async def test_rows_of_another_width_are_errors_and_no_other_table(text: str, names: str, ragged: int) -> None:
    parsed = await parse_file(text.encode(), MAPPINGS)
    assert "".join(row.fields["name"] for row in parsed.rows) == names
    assert [code for _, _, code in error_places(parsed)] == ["ragged"] * ragged


@pytest.mark.parametrize("blank", ["", ",,", ' , ,""'])
@pytest.mark.parametrize("odd", ["TBD,New", "TBD,Lost", "n/a,", "to be done,gone"])
async def test_text_among_numbers_behind_a_blank_row_hides_nothing(blank: str, odd: str) -> None:
    text = f"{HEAD}A,100,New\nB,200,New\n{blank}\nC,{odd}\nD,300,Won\nE,300,Won\n"
    assert (_detect(text).end_line, _detect(text).skipped) == (0, ())
    parsed = await parse_file(text.encode(), MAPPINGS)
    assert [row.fields["name"] for row in parsed.rows][-2:] == ["D", "E"]


async def test_both_parts_of_two_exports_in_one_file_are_imported() -> None:
    for blank in ("", "\n", ",,\n"):
        text = f"{HEAD}A,100,New\nB,200,New\n{blank}{HEAD}D,300,Won\nE,300,Won\n"
        parsed = await parse_file(text.encode(), {"Deal Name": "name", "Stage": "stage_id"})
        assert [row.fields["name"] for row in parsed.rows] == ["A", "B", "D", "E"]
        assert not parsed.errors
        assert parsed.skipped == 1 + (blank == ",,\n")


async def test_a_second_export_with_more_columns_becomes_errors() -> None:
    text = f"{HEAD}A,1,New\nB,2,New\nC,3,New\n\nDeal Name,Value,Stage,Email\nD,4,New,d@x.example\nE,5,Won,e@x.example\n"
    parsed = await parse_file(text.encode(), MAPPINGS)
    assert [row.fields["name"] for row in parsed.rows] == ["A", "B", "C"]
    assert [line for _, line, _ in error_places(parsed)] == [6, 7, 8]


@pytest.mark.parametrize("rows", ["E0,1,Won\nE1,2,Won\n", "E0,TBD,Won,x\n", "E0,TBD,Won\nE1,2,Won\nE2,3,Won\n"])
def test_a_few_odd_rows_hide_nothing_of_a_long_file(rows: str) -> None:
    good = "".join(f"D{n},{n},New,x\n" for n in range(9000))
    assert _detect(f"Deal Name,Value,Stage,Note\n{good[:500]}\n{rows}{good}").end_line == 0


@pytest.mark.parametrize(
    "table",
    [
        "\nOwner,Seats\nAda,3\n",
        ",,\nOwner,Team,Seats\nAda,West,3\nBob,East,4\n",
        "\nOwner,Since,Seats,,\nAda,2024,3,,\nBob,2023,4,,\n",
        "Owner,Seats\nAda,3\nBob,4\n",
        "\nOwner,Stage,Seats,Since\nAda,West,3,2024\n\nBob,East,4,2025\n",
    ],
)
def test_a_header_of_its_own_begins_another_table(table: str) -> None:
    text = f"{HEAD}A,100,New\nB,200,New\nC,300,Won\n"
    dialect = _detect(text + table)
    assert dialect.end_line == 4
    first = 5 if table.startswith("Owner") else 6
    assert dialect.skipped == (f"lines {first}-{4 + table.count(chr(10))} another table",)


def test_where_another_table_ends_beyond_the_sample_is_not_claimed() -> None:
    text = f"{HEAD}A,100,New\nB,200,New\n\nOwner,Seats\n" + "Ada,3\n" * 20_000
    assert _detect(text).skipped == ("all from line 5 on, another table",)
