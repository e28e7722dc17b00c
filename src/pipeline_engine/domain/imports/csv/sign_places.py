# ruff: noqa: RUF001, RUF002, RUF003
"""Where signs such as `’`, `–` and `£` stand in text, by which each is told from a letter in another encoding.

The byte of the apostrophe in `Joe’s` is the í of `García` on a Macintosh, where no apostrophe can stand.
"""

from __future__ import annotations

import re

VOWEL = "[aeiouyhAEIOUYH]"
PLACES = (
    "\u00a0",
    r"’(?=(?:s|t|d|m|re|ll|ve)\b)|(?<=s)’(?!\w)",  # Joe’s, partners’
    rf"(?:(?<=\b[dlnstcjmDL])|(?<=[qQ]u|ll|un))’(?={VOWEL})|(?<=\b[OD])’(?=[A-Z])",  # l’eau, dell’arte, O’Brien
    r"(?<!\w)[“‘„«‹](?=\w)|(?<=[\w.,!?%)])[”»›](?!\w)",
    r"(?<![^\W\d_])[–—](?![a-z])|[–—](?=[A-Z\d])",
    r"(?<![^\W\d_])[£€¥](?![^\W\d_]{2})|(?<=\d)[¢½¼¾]|¢(?=\d)",  # £5, £m
    r"[™®©…](?!\w)",
    r"(?<![^\W\d_])(?:§|[×·•½¼¾°](?![^\W\d_]))|(?<=\d)°",
    r"(?<=[\dnNM])[ºª](?!\w)|(?<!\w)[¡¿](?=\w)",
)
SIGN_IN_PLACE = re.compile("|".join(PLACES))
