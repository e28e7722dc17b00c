"""Cells become telephone numbers, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.values.cell import NotAValue, Noted
from pipeline_engine.domain.imports.csv.values.phone import phone_reader, read_phone


@pytest.mark.parametrize(
    ("cell", "country", "number"),
    [
        ("\u202a+46 70 174 06 05\u202c", None, "+46701740605"),
        ("+46 70 174 06 05\u200b", "DE", "+46701740605"),
        ("06 39 98 01 22", "FR", "+33639980122"),
        ("06 39 98\u00a001 22", None, "06 39 98 01 22"),
        ("04066969 123", "DE", "+494066969123"),
        ("+49 (0)30 / 23125-010", None, "+493023125010"),
        ("0049 30 23125-010", "DE", "+493023125010"),
        ('="00493023125010"', None, "+493023125010"),
        ("'03023125013", "DE", "+493023125013"),
        ("tel:+1-415-555-0100", None, "+14155550100"),
        ("(415) 555-0100", "US", "+14155550100"),
        ("1 415 555 0100", "US", "+14155550100"),
        ("+1 415 555 0101 ext. 12", None, "+14155550101 ext. 12"),
        ("（０３）１２３４－５６７８", "JP", "+81312345678"),
        ("+39 06 1234 5678", None, "+390612345678"),
        ("4917012345678", "DE", "+4917012345678"),
        ("4917012345678.0", "DE", "+4917012345678"),
        ("4917012345678.0", None, "4917012345678"),
        ("4155550100,00", "US", "+14155550100"),
        ("415.555.0100", "US", "+14155550100"),
        ("555-0100", "US", "555-0100"),
        ("+1 555-0100", None, "+1 555-0100"),
        ("7946 0958", "GB", "7946 0958"),
        ("13800138000", "US", "13800138000"),
    ],
)
def test_a_number_is_written_as_the_world_dials_it(cell: str, country: str | None, number: str) -> None:
    assert phone_reader(country)(cell) == number


@pytest.mark.parametrize("cell", ["4.91512E+12", "n/a", "-", "12ab345678", "12", "+49", "1" * 30, "030 1234 mobil"])
@pytest.mark.parametrize("country", [None, "DE"])
def test_what_is_no_number_is_refused(cell: str, country: str | None) -> None:
    with pytest.raises(NotAValue) as refused:
        phone_reader(country)(cell)
    assert refused.value.code == "not_a_phone"


def test_an_extension_alone_is_no_number_of_a_country() -> None:
    for country in (None, "DE"):
        with pytest.raises(NotAValue):
            phone_reader(country)("1234")


def test_of_several_numbers_the_first_is_taken_and_the_rest_noted() -> None:
    for cell in ("030 23125010 / 0171 2345678", "030 23125010; 0171 2345678", "+49 30 23125010, +49 171 2345678"):
        assert phone_reader("DE")(cell) == Noted("+493023125010", "more_numbers")


def test_a_country_that_is_none_counts_as_not_known() -> None:
    assert phone_reader("XX")("030 23125010") == "030 23125010"


@given(
    number=st.from_regex(r"(\+|00|0|1|011)?[1-9][0-9]{3,13}", fullmatch=True),
    country=st.sampled_from([None, "DE", "US", "GB", "FR", "IT", "BR", "JP", "MX", "AR", "HU", "CZ", "RU"]),
)
def test_the_quick_way_and_the_library_agree(number: str, country: str | None) -> None:
    results: list[object] = []
    for read in (phone_reader(country), lambda one: read_phone(one, country)):
        try:
            results.append(read(number))
        except NotAValue as refused:
            results.append(refused.code)
    assert results[0] == results[1]
