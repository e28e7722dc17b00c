"""A text as browsers and parsers see it: characters escaped for URLs, HTML, JSON or CSS become plain. Pure.

Pages nest encodings (JSON in an attribute, a URL in that JSON), so decoding is repeated, at most five times. Every
decoded text knows where in the source each of its characters stands.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from html.entities import html5

MAX_DECODED_TEXTS = 6  # of one source, itself included
# One match is one character; an escape that was escaped itself (%252F, &amp;#47;, \\\/) is one match too. Every
# quantifier is possessive, so the time is in proportion to the text. The expression begins with a set of characters,
# which `re` finds quickly; the character found says what may follow. A byte that is no UTF-8 and half of a
# surrogate pair are escapes too: a reference beside them ends there.
ESCAPE = re.compile(
    r"""
    [%&\\]
    (?: (?<=%) (?:25)*+
        (?: [0-7]{H} | [cd]{H}{P}[89ab]{H} | e{H}{P}[89ab]{H}{P}[89ab]{H} | f[0-4]{P}[89ab]{H}{P}[89ab]{H}{P}[89ab]{H}
            | u{H}{4} )
    |   (?<=%) (?: (?:25)++ | [89a-f]{H} )
    |   (?<=&) (?:amp;)*+ (?: \#[0-9]{1,7}+(?![0-9]);?+ | \#x{H}{1,6}+(?!{H});?+ | [a-z][a-z0-9]{1,30}+; )
    |   (?<=&) (?:amp;)++
    |   (?<=&) [a-z][a-z0-9]{1,30}+(?![=a-z0-9])
    |   (?<=\\) \\*+ (?: ud[89ab]{H}{2}\\++ud[c-f]{H}{2} | u{H}{4} | x{H}{2} | [^\w\\] | {H}{2,6}+[ \t\n\f]?+ )
    |   (?<=\\) \\++
    )
    """.replace("{P}", "%(?:25)*+").replace("{H}", "[0-9a-f]"),
    re.VERBOSE | re.IGNORECASE,
)
REPEATED_ESCAPE = re.compile("(?<=%)(?:25)+(?=[0-9a-fA-F]{2}|u)|(?<=&)(?:amp;)+(?=[#\\w])|(?<=\\\\)\\\\+")
MAX_CACHED_ESCAPE = 32  # characters
REPLACEMENT = "\ufffd"  # of what stands for no character


class DecodedText:
    """The text after one more round of decoding than `below`; without `below`, the source itself."""

    def __init__(
        self, text: str, below: DecodedText | None = None, at: array[int] | None = None, ends: array[int] | None = None
    ) -> None:
        self.text = text
        self._below = below
        self._at = array("I") if at is None else at  # where each decoded character stands in this text
        self._ends = array("I") if ends is None else ends  # where its escape ends in the text below

    def source(self, at: int) -> int:
        """Where the character at `at` stands in the source, or where its escape begins there."""
        decoded: DecodedText | None = self
        while decoded:
            before = bisect_left(decoded._at, at)
            if before:
                at += decoded._ends[before - 1] - decoded._at[before - 1] - 1
            decoded = decoded._below
        return at

    def next(self) -> DecodedText | None:
        """This text decoded once more; None when it has nothing to decode."""
        pieces: list[str] = []
        deeper, done, shift = DecodedText("", self), 0, 0
        text, at, ends = self.text, deeper._at, deeper._ends
        for escape in ESCAPE.finditer(text):
            raw = escape[0]
            if char := _cached_character(raw) if len(raw) < MAX_CACHED_ESCAPE else _character(raw):
                start, end = escape.span()
                pieces += (text[done:start], char)
                at.append(start - shift)
                ends.append(end)
                done, shift = end, shift + end - start - 1
        if not done:
            return None
        deeper.text = "".join(pieces) + text[done:]
        return deeper


def decoded_texts(text: DecodedText) -> Iterator[DecodedText]:
    """The text as it stands, then decoded once, twice and so on, until a round changes nothing."""
    decoded: DecodedText | None = text
    for _ in range(MAX_DECODED_TEXTS):
        if decoded is None:
            return
        yield decoded
        decoded = decoded.next()


def fully_decoded(text: str) -> str:
    """The text after the last round."""
    *_, last = decoded_texts(DecodedText(text))
    return last.text


def _character(raw: str) -> str | None:
    """The one character that an escape stands for; None when it stands for none, or for more than one."""
    raw = REPEATED_ESCAPE.sub("", raw)
    try:
        return {"%": _percent, "&": _entity, "\\": _backslash}[raw[0]](raw)
    except (ValueError, OverflowError):  # not Unicode
        return None


_cached_character = lru_cache(4096)(_character)


def _percent(raw: str) -> str:
    if raw[1] in "uU":
        return _code(int(raw[2:], 16))
    char = bytes.fromhex(raw.replace("%", "")).decode(errors="surrogateescape")
    return char if len(char) == 1 else REPLACEMENT


def _entity(raw: str) -> str | None:
    if raw[1] != "#":
        char = html5.get(raw[1:])
        return char if char and len(char) == 1 else None
    digits = raw[2:].rstrip(";")
    return _code(int(digits[1:], 16) if digits[0] in "xX" else int(digits))


def _backslash(raw: str) -> str | None:
    if len(raw) == 12:  # a surrogate pair
        high, low = int(raw[2:6], 16), int(raw[8:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
    if len(raw) <= 2:
        return raw[-1]
    if raw[1] in "uxUX":
        return _code(int(raw[2:], 16))
    code = int(raw[1:], 16)  # CSS; whitespace ends it
    return _code(code) if code >= ord(" ") else None


def _code(code: int) -> str:
    return REPLACEMENT if 0xD800 <= code < 0xE000 else chr(code)
