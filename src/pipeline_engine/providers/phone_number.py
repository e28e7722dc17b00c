"""Reads a telephone number into the form that an SMS provider accepts."""

from __future__ import annotations

import re

from pipeline_engine.errors import Permanent

SEPARATORS = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]")
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
