# ruff: noqa: RUF001, RUF002, RUF003
"""The places where signs such as `’`, `–` and `£` stand in text: there, a byte is no letter of another encoding.

The byte of the apostrophe in `Joe’s` is the í of `García` on a Macintosh, where no apostrophe can stand.
"""

from __future__ import annotations

import re

VOWEL = "[aeiouyhAEIOUYH]"
OTHER_SIGN = r"[^\w\x00-\x7f\u00a0‘’“”]"
HARD_BLANK = r"(?<![^\W\d_])\u00a0|\u00a0(?![a-zà-ÿ])"
PLACES = (
    r"’(?=(?:s|t|d|m|re|ll|ve)\b)|(?<=s)’(?!\w)",  # Joe’s, partners’
    rf"(?:(?<=\b[dlnstcjmDL])|(?<=[qQ]u|ll|un))’(?={VOWEL})|(?<=\b[OD])’(?=[A-Z])",  # l’eau, dell’arte, O’Brien
    r"(?<!\w)[“‘„«‹](?=\w)|(?<=[\w.,!?%)])[”»›](?!\w)",
    r"(?<![^\W\d_])[–—](?![a-z])|[–—](?=[A-Z\d])",
    r"(?<![^\W\d_])[£€¥](?![^\W\d_]{2})|(?<=\d)[¢½¼¾]|¢(?=\d)",  # £5, £m
    r"[™®©…](?!\w)",
    r"(?<![^\W\d_])(?:§|№(?= ?\d)|[×·•½¼¾°](?![^\W\d_]))|(?<=\d)°",
    r"(?<=[\dnNM])[ºª](?!\w)|(?<!\w)[¡¿](?=\w)",
)
SIGN_IN_PLACE = re.compile(rf"{HARD_BLANK}|(?<!{OTHER_SIGN})(?:{'|'.join(PLACES)})(?!{OTHER_SIGN})")
"""Matches one sign. Several in a row are no signs, but a word in another encoding."""
