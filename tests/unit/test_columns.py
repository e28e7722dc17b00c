"""What is decided once for every column of a file, and kept for all of its chunks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline_engine.domain.imports.column_types import field_types
from pipeline_engine.domain.imports.csv.columns import FieldType, Sample, ValueRules, decide

A, B, C = "a" * 24, "b" * 24, "c" * 24


def rules_of(
    cells: dict[str, list[str]], custom: dict[str, str] | None = None, country: str | None = None, delimiter: str = ","
) -> ValueRules:
    samples = {target: Sample(f"The {target}", found) for target, found in cells.items()}
    types = {target: FieldType(type) for target, type in (custom or {}).items()}
    return decide(samples, types, country, None, delimiter)


@pytest.mark.parametrize(
    ("cells", "country", "delimiter", "value", "warned"),
    [
        (["1.500", "2,50"], "US", ",", 1500, False),
        (["1.500"], "DE", ",", 1500, True),
        (["1.500"], "US", ",", 1.5, True),
        (["1,500"], "US", ";", 1500, True),
        (["1.500"], None, ";", 1500, True),
        (["1.500"], None, ",", 1500, True),
        (["1,500"], None, ",", 1500, True),
    ],
)
def test_an_ambiguous_column_is_decided_as_a_whole_and_reported(
    cells: list[str], country: str | None, delimiter: str, value: float, warned: bool
) -> None:
    rules = rules_of({"value": cells}, country=country, delimiter=delimiter)
    assert rules.readers()["value"](cells[0]) == value
    assert [cells[0] in warning and "'The value'" in warning for warning in rules.warnings] == [True] * warned


def test_another_column_of_the_file_says_which_mark_is_decimal() -> None:
    rules = rules_of({"value": ["1.500"], A: ["0,5"]}, {A: "number"}, "US")
    assert rules.readers()["value"]("1.500") == 1500
    assert len(rules.warnings) == 1


def test_a_column_in_two_ways_follows_its_greater_part_and_says_so() -> None:
    rules = rules_of({"value": ["1,50", "2,50", "3.25"], A: ["25/08/2026", "26/08/2026", "08/25/2026"]}, {A: "date"})
    assert [word in warning for word, warning in zip(("'3.25'", "'08/25/2026'"), rules.warnings, strict=True)] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("cell", "country", "month"),
    [("03/04/2026", "US", 3), ("03/04/2026", "GB", 4), ("03/04/2026", None, 3), ("3.4.2026", None, 4)],
)
def test_an_ambiguous_column_of_dates_is_reported(cell: str, country: str | None, month: int) -> None:
    rules = rules_of({A: [cell]}, {A: "date"}, country)
    assert rules.readers()[A](cell).month == month
    assert [cell in warning for warning in rules.warnings] == [True]


def test_a_year_of_two_digits_in_front_is_reported() -> None:
    rules = rules_of({A: ["04-03-24", "26-03-04"], B: ["03/04/2026"]}, {A: "date", B: "date"}, "US")
    assert rules.readers()[A]("26-03-04").day == 26
    assert rules.readers()[B]("03/04/2026").day == 3, "the other column says so"
    assert ["'04-03-24'" in warning for warning in rules.warnings] == [True, False]
    assert rules_of({A: ["26-03-04", "19-03-04"]}, {A: "date"}, "US").warnings == ()


def test_a_corrected_error_csv_is_written_as_the_file_that_it_repeats_rows_of() -> None:
    custom = {A: FieldType("date"), B: FieldType("choice", ("New",)), C: FieldType("number")}

    def decided(cells: dict[str, str], earlier: ValueRules | None = None) -> ValueRules:
        samples = {target: Sample(target, [cell]) for target, cell in cells.items()}
        return decide(samples, custom, None, None, ",", earlier.columns if earlier else None)

    file = decide(
        {"value": Sample("v", ["1,50"]), A: Sample("a", ["25/08/2026"]), B: Sample("b", ["Old"])},
        {A: FieldType("date"), B: FieldType("choice", ("Old",))},
        *(None, None, ";"),
    )
    rows = {"value": "2,500", A: "03/04/2026", B: "New", C: "1.5"}
    readers = decided(rows, file).readers()
    assert (readers["value"]("2,500"), readers[A]("03/04/2026").month) == (2.5, 4)
    assert (readers[B]("new"), readers[C]("1.5")) == ("New", 1.5), "what is declared counts as it is now"
    assert decided(rows, file).warnings == ()
    assert len(decided(rows).warnings) == 2


def test_columns_that_are_certain_are_not_reported() -> None:
    assert rules_of({"value": ["1", "1.234,50"], A: ["03/04/2026", "25/08/2026", ""]}, {A: "date"}, "DE").warnings == ()


def test_the_stored_rules_read_alike_in_another_process() -> None:
    declared: list[dict[str, Any]] = [
        {"_id": A, "type": "datetime"},
        {"_id": B, "type": "choice", "options": ["Gold", {"label": "Silver", "value": None}, 5]},
        {"_id": C, "type": "magic"},
    ]
    samples = {
        target: Sample(target, ["25.08.2026 14:30"]) for target in (A, B, C, "value", "contact_email", "contact_phone")
    }
    rules = decide(samples, field_types(declared), "DE", "Europe/Berlin", ",")
    again = ValueRules.of(json.loads(json.dumps(rules.stored)))
    readers = again.readers()
    assert readers.keys() == {A, B, "value", "contact_email", "contact_phone"}
    assert readers[A]("25.08.2026 14:30") == datetime(2026, 8, 25, 12, 30, tzinfo=UTC)
    assert (readers[B]("gold"), readers[B]("Silver")) == ("Gold", "Silver")
    assert readers["contact_phone"]("030 23125010") == "+493023125010"
    assert [again.keeps_empty(target) for target in ("value", "contact_email", A)] == [False, True, False]


def test_an_import_that_began_without_types_stays_text() -> None:
    assert ValueRules.of(None).readers() == {}


def test_a_zone_that_is_not_known_is_utc_and_reported() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", "Europe"):
        rules = decide({}, {}, None, zone, ",")
        assert (rules.zone, len(rules.warnings)) == ("UTC", 1)


def test_ids_that_a_spreadsheet_has_rounded_are_reported() -> None:
    rules = rules_of({A: ["731845290617385291", "7,31845E+17"], B: ["1E5", "1.2E+04"]})
    assert ["7,31845E+17" in warning for warning in rules.warnings] == [True]
