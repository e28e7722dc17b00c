"""Reads a telephone number into the form that an SMS provider accepts."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache

import phonenumbers

from pipeline_engine.errors import Permanent

SEPARATORS = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]")
BETWEEN = re.compile(r"[^\d+]+")
SHAPE = re.compile(r"\+?[0-9]{5,15}", re.ASCII)


def read_phone_number(given: object) -> str:
    """The number without spaces, brackets and dashes; a leading `00` becomes `+`.

    Raises: Permanent (`bad_number`). The message does not quote it.
    """
    text = SEPARATORS.sub("", given) if isinstance(given, str) and len(given) <= 40 else ""
    number = f"+{text[2:]}" if text.startswith("00") else text
    if not SHAPE.fullmatch(number):
        raise Permanent("the contact's telephone number is not a valid number", "bad_number")
    return number


@lru_cache(maxsize=10_000)  # it takes 50 µs and more, and is asked several times for each message
def international_number(number: str, country: str | None = None) -> str:
    """The number, as `read_phone_number` returns it, with the code of its country, a national one with that of
    `country` (ISO 3166 alpha-2). One that no country has stays as it is."""
    region = country if country in phonenumbers.SUPPORTED_REGIONS else None
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return number
    possible = phonenumbers.is_possible_number(parsed)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if possible else number


def phone_spellings(number: str, country: object = None) -> list[str]:
    """The usual spellings under which the CRM may keep a number in E.164; national ones only for a number of
    `country`."""
    found = {number, number.removeprefix("+"), f"00{number.removeprefix('+')}"}
    with suppress(phonenumbers.NumberParseException):
        parsed = phonenumbers.parse(number)
        national = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
        whole = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        found |= {*_separated(whole), *_separated(f"+{parsed.country_code} {national}")}
        if country and phonenumbers.region_code_for_number(parsed) == country:
            found |= _separated(national)
    return sorted(found)


def _separated(number: str) -> set[str]:
    """The number as it is, and with other characters, or none, between its groups."""
    return {number, *(BETWEEN.sub(one, number.lstrip("(")) for one in ("", " ", "-", "."))}
