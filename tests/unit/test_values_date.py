"""Cells become dates and times, or are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.column_votes import vote_on_orders
from pipeline_engine.domain.imports.csv.values.cell import NotAValue
from pipeline_engine.domain.imports.csv.values.date import Order, date_reader, read_date, read_datetime
from pipeline_engine.domain.imports.csv.values.months import NAMES

MARCH_4 = datetime(2026, 3, 4, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "cell",
    [
        *("2026-03-04", "2026/3/4", "2026.03.04", "20260304", "04/03/2026", "4.3.2026", "4-3-26", "04. 03. 2026"),
        *(
            "4 March 2026",
            "4. März 2026",
            "4 mars 2026",
            "4 de marzo de 2026",
            "4-Mar-26",
            "March 4, 2026",
            "Mar 4 2026",
        ),
        *(
            "4th March 2026",
            "Wed, 4 Mar 2026",
            "Wednesday, March 4, 2026",
            "2026年3月4日",
            "46085",
            "46085.5",
            '="04/03/2026"',
        ),
        *("2026-03-04T14:30:05Z", "4.3.2026 14:30", "04/03/2026, 2:30 PM", "2026-03-04 14:30:05.123", "4. března 2026"),
        *("\u200e04/03/2026", "４/３/2026", "2026\u201103\u201104", "1772582400", "1772582400000"),
    ],
)
def test_a_day_is_read_in_every_spelling(cell: str) -> None:
    assert read_date(cell, "dmy") == MARCH_4


@pytest.mark.parametrize(
    ("cell", "hour", "minute"),
    [
        ("2026-03-04 14:30", 14, 30),
        ("04/03/2026 2:30 pm", 14, 30),
        ("04.03.2026, 14.30 Uhr", 14, 30),
        ("4/3/2026 12:05 AM", 0, 5),
        ("4 mars 2026 à 14h30", 14, 30),
        ("2026年3月4日 14時30分", 14, 30),
        ("46085.604166667", 14, 30),
        ("2026-03-04", 0, 0),
    ],
)
def test_a_time_means_the_account_s_zone(cell: str, hour: int, minute: int) -> None:
    assert read_datetime(cell, "dmy", BERLIN) == datetime(2026, 3, 4, hour, minute, tzinfo=BERLIN)


def test_a_zone_in_the_cell_goes_before_the_account_s() -> None:
    for cell in ("2026-03-04T14:30:00+02:00", "2026-03-04 12:30Z", "2026-03-04 12:30 UTC", "2026-03-04T14:30+02"):
        assert read_datetime(cell, "dmy", BERLIN) == datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


NO_DAYS = (
    "02/30/2026|31.04.2026|1-2|MARCH1|n/a|2026|2026-13-01|00/00/0000|4 Foo 2026|03/04|12:30|1234|04/03/2026x|"
    "2026-03-04 1|2026-03-04 25:00|4.3.2026 13:00 PM|5 apples 26|03/04-2026"
)


@pytest.mark.parametrize("cell", NO_DAYS.split("|"))
def test_what_is_no_day_is_refused_and_never_rolled_over(cell: str) -> None:
    for order in ("dmy", "mdy"):
        with pytest.raises(NotAValue) as refused:
            read_date(cell, order)
        assert refused.value.code == "not_a_date"


def test_years_have_a_range() -> None:
    with pytest.raises(NotAValue) as refused:
        read_date("0026-03-04", "dmy")
    assert refused.value.code == "out_of_range"
    assert read_date("9999-12-31", "dmy").year == 9999
    assert [read_date(f"1/1/{year}", "dmy").year for year in ("68", "69")] == [2068, 1969]


def test_a_date_in_the_other_order_says_how_the_column_is_written() -> None:
    with pytest.raises(NotAValue, match="day/month/year"):
        date_reader("dmy", None)("03/25/2026")


@given(day=st.dates(date(1000, 1, 1)), order=st.sampled_from(["dmy", "mdy"]))
def test_what_a_program_writes_comes_back(day: date, order: Order) -> None:
    written = f"{day:%d/%m/}{day.year:04}" if order == "dmy" else f"{day:%m/%d/}{day.year:04}"
    for cell in (written, day.isoformat()):
        assert date_reader(order, None)(cell).date() == day


@pytest.mark.parametrize(
    ("cells", "winner", "doubtful"),
    [
        (["03/04/2026", "08/25/2026"], "mdy", "03/04/2026"),
        (["03/04/2026", "25/08/2026"], "dmy", "03/04/2026"),
        (["03/04/2026"], None, "03/04/2026"),
        (["04/04/2026", "2026-03-04", "n/a"], None, None),
    ],
)
def test_a_column_s_cells_say_whether_the_day_is_first(
    cells: list[str], winner: str | None, doubtful: str | None
) -> None:
    assert vote_on_orders(cells) == (winner, None, doubtful)


def test_both_orders_in_one_column_are_seen() -> None:
    assert vote_on_orders(["25/08/2026", "26/08/2026", "08/25/2026"]) == ("dmy", "08/25/2026", None)


def test_no_name_stands_for_two_months() -> None:
    names = [name for month in NAMES for name in month.split()]
    assert len(names) == len(set(names))
