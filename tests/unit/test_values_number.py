"""Cells become numbers, or are refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.column_votes import vote_on_marks
from pipeline_engine.domain.imports.csv.values.cell import NotAValue
from pipeline_engine.domain.imports.csv.values.number import MAX_NUMBER, Mark, number_reader, read_number


def refusal(cell: str, mark: Mark = ".") -> str:
    with pytest.raises(NotAValue) as refused:
        number_reader(mark)(cell)
    return refused.value.code


@pytest.mark.parametrize(
    ("cell", "mark", "value"),
    [
        ("10", ".", 10),
        ("0", ".", 0),
        ("-0", ".", 0),
        ("00417", ".", 417),
        ("1200.50", ".", 1200.5),
        ("1200,50", ",", 1200.5),
        ("$1,234.50", ".", 1234.5),
        ("1.234,56 €", ",", 1234.56),
        ("EUR 1.234.567,89", ",", 1234567.89),
        ("1\u00a0234,56", ",", 1234.56),
        ("1\u202f234,56\u00a0€", ",", 1234.56),
        ("1\u2009234", ",", 1234),
        ("1'234'567.89", ".", 1234567.89),
        ("CHF 1’234.50", ".", 1234.5),
        ("Fr. 50.-", ".", 50),
        ("kr. 1.500,-", ",", 1500),
        ("12,34,567.50", ".", 1234567.5),
        ("R$ 1.234,50", ",", 1234.5),
        ("１２３，４５６円", ".", 123456),
        ("٤٢", ".", 42),
        (".5", ".", 0.5),
        ("1.2E+04", ".", 12000),
        ("(1,234.50)", ".", -1234.5),
        ("$(41.20)", ".", -41.2),
        ("($18.05)", ".", -18.05),
        ("-$12.00", ".", -12),
        ("$-12.00", ".", -12),
        ("+64.10", ".", 64.1),
        ("12.50-", ".", -12.5),
        ("\u22127.00", ".", -7),
        ("- 3\u00a0000,00 €", ",", -3000),
        ("100 DR", ".", -100),
        ("100.00CR", ".", 100),
        ("12.5%", ".", 0.125),
        ("45 %", ",", 0.45),
        ('="1500"', ".", 1500),
        ("'1500", ".", 1500),
        ("\u200b1500\u200e", ".", 1500),
        (str(MAX_NUMBER), ".", MAX_NUMBER),
        ("9007199254740991", ".", MAX_NUMBER - 1),
        ("0.30000000000000004", ".", 0.1 + 0.2),
        ("0.10000000000000001", ".", 0.1),
        ("12.5700000000000003", ".", 12.57),
        ("33.333333333333333333", ".", 100 / 3),
        ("$ -", ".", 0),
        ("-   €", ",", 0),
        ("USD$5", ".", 5),
        ("Rs. 1,00,000/-", ".", 100000),
    ],
)
def test_a_number_is_read_in_every_spelling(cell: str, mark: Mark, value: float) -> None:
    read = number_reader(mark)(cell)
    assert type(read) is float
    assert (read, str(read)[0]) == (value, str(float(value))[0])  # no -0


NO_NUMBERS = (
    "12abc|4.5.6|pcs8|7 apples|NaN|Infinity|inf|--5|-(5)|(5|5)|- 5 -|1 2|12 34|1,2,3|0x1F|1_000|n/a|-|€|%|"
    "12 cup|5²|½|1,234,56|1e|e5|$ $ 5|5 CR -|10-20|=1+1|{}|1 000 00|'|1.234,56"
)


@pytest.mark.parametrize("cell", NO_NUMBERS.split("|"))
def test_a_partly_numeric_cell_is_refused_and_never_cut(cell: str) -> None:
    assert refusal(cell) == "not_a_number"


@pytest.mark.parametrize("cell", ["9007199254740993", "9007199254740992.5", "-1e17", "1e-400"])
def test_what_a_double_does_not_hold_is_refused(cell: str) -> None:
    assert refusal(cell) == "out_of_range"


def test_numbers_have_a_range_and_a_length() -> None:
    assert refusal("9e999") == refusal("1" * 20) == "out_of_range"
    assert refusal("1" * 1000) == "not_a_number"


def test_a_cell_with_the_other_decimal_mark_says_so() -> None:
    with pytest.raises(NotAValue, match="decimal commas, but the column decimal points"):
        read_number("1.234,56", ".")


@given(value=st.integers(-MAX_NUMBER, MAX_NUMBER) | st.decimals(-(10**9), 10**9, places=2), mark=st.sampled_from(".,"))
def test_what_a_program_writes_comes_back_exactly(value: int | Decimal, mark: Mark) -> None:
    for written in (str(value), f"{value:,}"):
        table = str.maketrans(".,", ",.") if mark == "," else {}
        assert number_reader(mark)(written.translate(table)) == float(value)


@given(cell=st.text(alphabet="0123456789.,-+()%' eE$€CRDx", max_size=12))
def test_the_quick_way_and_the_thorough_one_agree(cell: str) -> None:
    for mark in (".", ","):
        results = []
        for read in (number_reader(mark), lambda one, mark=mark: read_number(one, mark)):
            try:
                results.append(str(read(cell)))
            except NotAValue as refused:
                results.append(refused.code)
        assert results[0] == results[1]


@pytest.mark.parametrize(
    ("cells", "winner", "doubtful"),
    [
        (["10", "20"], None, None),
        (["1.500"], None, "1.500"),
        (["1.500", "2,50"], ",", "1.500"),
        (["1.500", "1.234.567"], ",", "1.500"),
        (["$1,500", "99.90"], ".", "$1,500"),
        (["1,234.50"], ".", None),
        (["0,125"], ",", None),
        (["1 234,567"], ",", None),
        (["1,5E3"], ",", None),
        (["4.5.6", "n/a"], None, None),
    ],
)
def test_a_column_s_cells_say_which_mark_is_the_decimal_one(
    cells: list[str], winner: str | None, doubtful: str | None
) -> None:
    vote = vote_on_marks(cells)
    assert (vote.winner, vote.against, vote.doubtful) == (winner, None, doubtful)


def test_both_marks_in_one_column_are_seen() -> None:
    vote = vote_on_marks(["1,50", "2,50", "3.25"])
    assert (vote.winner, vote.against) == (",", "3.25")


@pytest.mark.parametrize(
    ("cells", "credit"), [(["5", "5 CR"], "-"), (["5 DR", "5 CR"], "+"), (["5 CR"], "+"), (["5", "5 CR", "5 DR"], "+")]
)
def test_where_only_credits_are_marked_they_run_against_the_rest(cells: list[str], credit: str) -> None:
    assert vote_on_marks(cells).credit == credit


def test_percentages_among_plain_numbers_are_seen() -> None:
    assert vote_on_marks(["45%", "45"]).mixes_percent
    assert not vote_on_marks(["45%", "5 %"]).mixes_percent
