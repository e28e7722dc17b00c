"""Telephone numbers: checked and written as `+4930…` where the country is known.

`phonenumbers` decides. It takes 50 µs and more for a number, so the ordinary ones go a quicker way, which uses its
figures and leaves to it whatever is not plain; a test compares both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from operator import methodcaller
from typing import NamedTuple

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumber, PhoneNumberFormat, ValidationResult

from pipeline_engine.domain.imports.csv.values.cell import NotAValue, Noted, plain

NOT_A_PHONE, MORE_NUMBERS = "not_a_phone", "more_numbers"
MAX_CHARS = 64
SEPARATORS = str.maketrans("", "", " \u00a0\u2009\u202f()-./")
PLAUSIBLE = re.compile(r"\+?[\d\s()./#*-]{5,40}", re.ASCII)
MIN_DIGITS, MAX_DIGITS = 5, 17
MIN_E164 = 6
"""Digits with the country's code; some plans allow less, for services."""
BETWEEN = re.compile(r"[;,|\n\r]|\s/\s")
FLOAT = re.compile(r"(\+?[1-9]\d{5,})[.,]00?", re.ASCII)
"""A number that passed through a program which took it for an amount."""
EXTENSION = re.compile(r"(?:ext(?:ension|n|r)?|x|int|anexo|доб)?[^0-9a-z]*$")


class _Plan(NamedTuple):
    """What a country's numbers look like behind its code. `trunk` is what national calls begin with."""

    code: str
    lengths: frozenset[int]
    shape: re.Pattern[str]
    is_trunk: Callable[[str], object]
    trunk: str
    abroad: str


def phone_reader(country: str | None) -> Callable[[str], str | Noted]:
    """Return a reader of the numbers of an account in that country (ISO 3166 alpha-2); None: not known.

    The reader returns E.164, with ` ext. 12` where there is an extension; of several numbers the first, noted as
    `more_numbers`. A national number of no known country, or of another one, stays as it is written, without invisible
    marks: the account's country alone never refuses a row.
    It raises: NotAValue `not_a_phone` when the cell holds more than a number, or fewer or more digits than any has.
    """
    region = country if country in phonenumbers.SUPPORTED_REGIONS else None
    home = _plan(region) if region else None
    any_form = lru_cache(maxsize=4096)(lambda cell: read_phone(cell, region))

    def read(cell: str) -> str | Noted:
        digits = cell.replace(" ", "").replace("-", "") if len(cell) <= MAX_CHARS else ""
        if not digits[1:].isdecimal():
            digits = digits.translate(SEPARATORS)
        if digits.isascii() and not FLOAT.fullmatch(cell):
            number = _international(digits[1:]) if digits[:1] == "+" else home and _national(digits, home)
            if number:
                return number
        return any_form(cell)

    return read


def read_phone(cell: str, region: str | None) -> str | Noted:
    """As the readers of `phone_reader`, by `phonenumbers` alone."""
    if len(cell) > MAX_CHARS:
        raise _not_a_phone()
    text = FLOAT.sub(r"\1", plain(cell))
    if number := _number(text, region):
        return number
    first, *others = [part for part in BETWEEN.split(text) if part.strip()] or [""]
    if others and (number := _number(first.strip(), region)):
        return Noted(number, MORE_NUMBERS)
    raise _not_a_phone()


def _number(text: str, region: str | None) -> str | None:
    if number := _parsed(text, region):
        return number
    digits = sum(character.isdigit() for character in text)
    if PLAUSIBLE.fullmatch(text) and MIN_DIGITS <= digits <= MAX_DIGITS:
        # 00 is how most countries begin a call abroad.
        return (text.startswith("00") and _parsed(f"+{text[2:]}", None)) or text
    return None


def _parsed(text: str, region: str | None) -> str | None:
    """E.164, or None when no country has a number of that length, or only for calls within a town."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    body = text.lower().removeprefix("tel:")
    if number.extension:
        body = EXTENSION.sub("", body[: body.rindex(number.extension)])
    # The library skips letters and takes what is left for the number: 12ab345678.
    if any(character.isalpha() for character in body) or not _is_possible(number):
        return None
    digits = "".join(filter(str.isdigit, body))
    if len(digits) < MIN_DIGITS:
        return None
    is_open = text[:1].isdigit() and digits.startswith(str(number.country_code))
    known = _with_or_without_code(number, digits) if is_open else number
    return _written(known) if known else None


def _is_possible(number: PhoneNumber) -> bool:
    return phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE


def _with_or_without_code(number: PhoneNumber, digits: str) -> PhoneNumber | None:
    """What digits mean that begin as their country's code does: most likely they have lost their `+`.

    None when neither reading is a number of that country: perhaps it is one of another.
    """
    other = phonenumbers.parse(f"+{digits}", None)
    other.extension = number.extension
    return next((one for one in (other, number) if phonenumbers.is_valid_number(one)), None)


def _written(number: PhoneNumber) -> str | None:
    main = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if len(main) <= MIN_E164:
        return None
    return f"{main} ext. {number.extension}" if number.extension else main


def _international(digits: str) -> str | None:
    """`+` and the digits, when nothing but their length is to be checked and it is right; else None."""
    plan = _plan_of_code(digits[:3]) if digits.isdecimal() else None
    if plan is None:
        return None
    number = digits[len(plan.code) :]
    fits = len(digits) >= MIN_E164 and len(number) in plan.lengths and not plan.is_trunk(number)
    return f"+{digits}" if fits else None


def _national(digits: str, home: _Plan) -> str | None:
    """The number of the account's own country in E.164; None when it may be read in another way."""
    if not digits.isdecimal():
        return None
    if digits.startswith(home.abroad):
        return _international(digits[2:]) if home.abroad == "00" else None
    number = digits.removeprefix(home.trunk)
    if digits.startswith(home.code) or (number == digits and home.is_trunk(number)):
        return None
    fits = len(number) in home.lengths and home.shape.fullmatch(number) and not home.is_trunk(number)
    long_enough = len(digits) >= MIN_DIGITS and len(home.code + number) >= MIN_E164
    return f"+{home.code}{number}" if fits and long_enough else None


@cache
def _plan_of_code(first_digits: str) -> _Plan | None:
    """The plan of the country whose code the three digits begin with; None where there is none, or no single one."""
    for length in (1, 2, 3):
        regions = COUNTRY_CODE_TO_REGION_CODE.get(int(first_digits[:length] or 0), ())
        if regions:
            return _plan(regions[0])
    return None


@cache
def _plan(region: str) -> _Plan | None:
    found = PhoneMetadata.metadata_for_region(region, None)
    if found is None or found.general_desc is None or found.national_prefix_transform_rule:
        return None
    trunk = found.national_prefix_for_parsing or ""
    prefix = trunk if trunk.isdigit() else ""
    matches = re.compile(trunk, re.ASCII).match if trunk else lambda _number: None
    return _Plan(
        code=str(found.country_code),
        lengths=frozenset(found.general_desc.possible_length),
        shape=re.compile(found.general_desc.national_number_pattern or "", re.ASCII),
        is_trunk=methodcaller("startswith", prefix) if prefix else matches,
        trunk=prefix,
        abroad=found.international_prefix if found.international_prefix in ("00", "011") else "0",
    )


def _not_a_phone() -> NotAValue:
    return NotAValue(NOT_A_PHONE, "is not a telephone number")
