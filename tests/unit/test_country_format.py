"""Numbers and dates, as an account's country writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.country_format import COMMA, DATES, POINT, decimal_mark, format_date, format_number
from pipeline_engine.domain.imports.csv.values.number import read_number


@pytest.mark.parametrize(
    ("value", "country", "printed"),
    [
        (12000.0, None, "12000"),
        (1234.5, None, "1234.50"),
        (1234.5, "DE", "1.234,50"),
        (1234567.891, "US", "1,234,567.891"),
        (5000.0, "US", "5,000"),
        (2026.0, "DE", "2026"),
        (2026.5, "DE", "2.026,50"),
        (12500.0, "FR", "12\u00a0500"),
        (12500.0, "CH", "12\u2019500"),
        (1234567.0, "IN", "12,34,567"),
        (-0.125, "DE", "-0,125"),
        (0.0, "DE", "0"),
        (1e-7, "DE", "0,0000001"),
    ],
)
def test_numbers(value: float, country: str | None, printed: str) -> None:
    assert format_number(value, country) == printed


@given(value=st.floats(-(2**53), 2**53), country=st.sampled_from([*POINT, *COMMA]))
def test_what_is_printed_can_be_read_again(value: float, country: str) -> None:
    mark = decimal_mark(country)
    assert mark
    if len(printed := format_number(value, country)) <= 128:
        assert read_number(printed, mark) == value


@pytest.mark.parametrize(
    ("country", "zone", "printed"),
    [
        (None, None, "2026-03-04 13:30"),
        (None, "Europe/Berlin", "2026-03-04 14:30"),
        ("DE", "Europe/Berlin", "04.03.2026 14:30"),
        ("US", "America/New_York", "03/04/2026 8:30 AM"),
        ("GB", "Nowhere", "04/03/2026 13:30"),
        ("JP", "Asia/Tokyo", "2026/03/04 22:30"),
    ],
)
def test_times_are_printed_in_the_zone(country: str | None, zone: str | None, printed: str) -> None:
    assert format_date(datetime(2026, 3, 4, 13, 30, tzinfo=UTC), country, zone) == printed


def test_a_day_is_the_same_in_every_zone() -> None:
    day = datetime(2026, 3, 4, tzinfo=UTC)
    assert format_date(day, "DE", "America/New_York") == "04.03.2026"
    assert format_date(day, "US", "Asia/Tokyo") == "03/04/2026"


def test_lists_of_countries_do_not_overlap() -> None:
    assert not POINT & COMMA
    assert set(DATES) <= POINT | COMMA | {"GU", "VI", "AS", "MP", "FM", "MH", "PW"}
