"""Numbers as people and programs write them, and what a column's cells say about how to read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, partial
from typing import Literal, NamedTuple

from pipeline_engine.domain.imports.csv.values.cell import MAX_TYPED_CHARS, NotAValue, plain
from pipeline_engine.domain.imports.csv.values.currency import CURRENCY

Mark = Literal[".", ","]
"""The decimal mark of a column."""
OTHER_MARK: dict[Mark, Mark] = {".": ",", ",": "."}
MARK_NAMES: dict[Mark, str] = {".": "decimal points", ",": "decimal commas"}
NOT_A_NUMBER, OUT_OF_RANGE = "not_a_number", "out_of_range"
MAX_NUMBER = 2**53
"""Up to here a BSON double holds every whole number."""
SHAPE = re.compile(
    rf"""(?P<first>[+-]?)\ ?(?P<money1>{CURRENCY})?\ ?(?P<open>\(?)\ ?(?P<money2>{CURRENCY})?\ ?(?P<inner>[+-]?)\ ?
    (?P<digits>(?:\d|[.,]\d)(?:[\d.,'\u2019\ ]*\d)?[.,]?)(?:(?<=[.,])-{{1,2}}|/-)?(?P<exponent>(?:[eE][+-]?\d{{1,3}})?)
    \ ?(?P<percent>%?)\ ?(?P<money3>{CURRENCY})?\ ?(?P<close>\)?)\ ?(?P<money4>{CURRENCY})?\ ?
    (?P<last>[+-]|CR|Cr|cr|DR|Dr|dr|)""",
    re.VERBOSE | re.ASCII,
)
ZERO = re.compile(rf"(?:{CURRENCY}) *--?|--? *(?:{CURRENCY})")
"""How the accounting formats of spreadsheets write zero."""


def _digits(mark: Mark) -> re.Pattern[str]:
    """Digits in groups of three, or as in India, with that decimal mark."""
    group = re.escape(OTHER_MARK[mark])
    grouped = (
        rf"\d{{1,3}}(?P<group>[ '\u2019{group}])\d{{3}}(?:(?P=group)\d{{3}})*|\d{{1,2}}(?:{group}\d\d)+{group}\d{{3}}"
    )
    return re.compile(rf"(?P<whole>(?:{grouped}|\d+)?)(?:{re.escape(mark)}(?P<fraction>\d*))?")


DIGITS: dict[Mark, re.Pattern[str]] = {".": _digits("."), ",": _digits(",")}


class WrittenNumber(NamedTuple):
    """The parts of a cell that is written as a number. `sign` is "", "+", "-", "CR" or "DR"."""

    digits: str
    exponent: str
    sign: str
    percent: bool


def written(cell: str) -> WrittenNumber:
    """Return the parts of the cell. Raises: NotAValue `not_a_number` when anything but one number is in it."""
    text = plain(cell) if len(cell) <= MAX_TYPED_CHARS else ""
    if ZERO.fullmatch(text):
        return WrittenNumber("0", "", "", False)
    found = SHAPE.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]) or _is_odd(found):
        raise _not_a_number()
    signs = [sign for sign in (found["first"], found["inner"], found["last"].upper(), found["open"] and "-") if sign]
    if len(signs) > 1:
        raise _not_a_number()
    return WrittenNumber(found["digits"], found["exponent"], "".join(signs), bool(found["percent"]))


def _is_odd(found: re.Match[str]) -> bool:
    """Whether there are two currencies on one side."""
    return bool((found["money1"] and found["money2"]) or (found["money3"] and found["money4"]))


def mark_of(number: WrittenNumber) -> tuple[Mark | None, bool]:
    """The decimal mark that the digits show, and whether that is certain; of `1.500` it is not.

    (None, True) when they show nothing, as `1500` does.
    """
    found: list[Mark] = [one for one in number.digits if one in (".", ",")]  # type: ignore[misc]
    if not found:
        return None, True
    last = found[-1]
    mark = last if found.count(last) == 1 else OTHER_MARK[last]
    if not DIGITS[mark].fullmatch(number.digits):
        return None, True
    before, _, behind = number.digits.rpartition(last)
    may_group = len(behind) == 3 and 1 <= len(before) <= 3 and before.isdigit() and before[0] != "0"
    return mark, len(found) > 1 or not may_group or bool(number.exponent)


def read_number(cell: str, mark: Mark, credit: str = "+") -> float:
    """Return the number; a whole one exactly, the decimals as far as a double holds them, which is what programs wrote.

    `credit` is the sign of amounts marked CR; 45 % is 0.45. Raises: NotAValue `not_a_number`, `out_of_range` beyond
    2^53, where whole numbers would be rounded, and below what is not zero yet.
    """
    number = written(cell)
    found = DIGITS[mark].fullmatch(number.digits)
    if found is None:
        if DIGITS[OTHER_MARK[mark]].fullmatch(number.digits):
            theirs, ours = MARK_NAMES[OTHER_MARK[mark]], MARK_NAMES[mark]
            raise NotAValue(NOT_A_NUMBER, f"is not a number: it has {theirs}, but the column {ours}")
        raise _not_a_number()
    whole = "".join(filter(str.isdigit, found["whole"]))
    value = Decimal(f"{whole or '0'}.{found['fraction'] or '0'}{number.exponent}")
    sign = credit if number.sign == "CR" else "-" if number.sign == "DR" else number.sign
    value = value.scaleb(-2) if number.percent else value
    return _double(-value if sign == "-" else value)


def _double(value: Decimal) -> float:
    if abs(value) > MAX_NUMBER:
        raise NotAValue(OUT_OF_RANGE, f"is too large: numbers go up to {MAX_NUMBER:,}")
    double = float(value)
    if value and not double:
        raise NotAValue(OUT_OF_RANGE, "is too small")
    return double + 0.0  # -0 becomes 0


def _not_a_number() -> NotAValue:
    return NotAValue(NOT_A_NUMBER, "is not a number")


def number_reader(mark: Mark, credit: str = "+") -> Callable[[str], float]:
    """Return `read_number` for one column; plain numbers, which are most, cost a fraction of it."""
    is_plain = re.compile(rf"-?\d{{1,12}}(?:{re.escape(mark)}\d{{1,2}})?", re.ASCII).fullmatch
    any_form = lru_cache(maxsize=1024)(partial(read_number, mark=mark, credit=credit))

    def read(cell: str) -> float:
        if len(cell) <= 15 and cell.isdecimal() and cell.isascii():
            return float(cell)
        if is_plain(cell):
            return float(cell.replace(",", ".")) + 0.0
        return any_form(cell)

    return read
