"""A text as its readers would see it: what is percent-encoded, escaped for HTML, JSON or CSS becomes plain.

Pages nest encodings (JSON in an attribute, a URL in that JSON), so decoding is repeated until nothing changes. Every
reading knows where in the source each of its characters stands.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html.entities import html5

ROUNDS = 6
# One match is one character; an escape that was escaped itself (%252F, &amp;#47;, \\\/) is taken in one piece. Every
# quantifier is possessive, so the time is in proportion to the text. It begins with a set of characters, for these `re`
# looks quickly; the first of them says what may follow.
ESCAPE = re.compile(
    r"""
    [%&\\]
    (?: (?<=%) (?:25)*+
        (?: [0-7]{H} | [cd]{H}{P}[89ab]{H} | e{H}{P}[89ab]{H}{P}[89ab]{H} | f[0-4]{P}[89ab]{H}{P}[89ab]{H}{P}[89ab]{H} )
    |   (?<=%) (?:25)++
    |   (?<=&) (?:amp;)*+ (?: \#[0-9]{1,7}; | \#x{H}{1,6}; | [a-z][a-z0-9]{1,30}+; )
    |   (?<=&) (?:amp;)++
    |   (?<=\\) \\*+ (?: ud[89ab]{H}{2}\\++ud[c-f]{H}{2} | u{H}{4} | x{H}{2} | [^\w\\] )
    |   (?<=\\) \\++
    )
    """.replace("{P}", "%(?:25)*+").replace("{H}", "[0-9a-f]"),
    re.VERBOSE | re.IGNORECASE,
)
CHAINS = re.compile("(?<=%)(?:25)+(?=[0-9a-fA-F]{2})|(?<=&)(?:amp;)+(?=[#\\w])|(?<=\\\\)\\\\+")
LONGEST_REMEMBERED = 256 * 1024  # characters of a text
LONGEST_KNOWN = 32  # characters of an escape worth remembering


class Reading:
    """One round of decoding `text`, itself read from `below` (None: the source)."""

    def __init__(self, text: str, below: Reading | None = None) -> None:
        self.text = text
        self._below = below
        self._at = array("I")  # of every decoded character, in this text
        self._ends = array("I")  # of the escape that it was, in the text below

    def source(self, at: int) -> int:
        """Where the character stands in the source; where it begins, if it is encoded there."""
        reading: Reading | None = self
        while reading:
            before = bisect_left(reading._at, at)
            if before:
                at += reading._ends[before - 1] - reading._at[before - 1] - 1
            reading = reading._below
        return at

    def next(self) -> Reading | None:
        """Decoded once more; None when there is nothing to decode."""
        pieces: list[str] = []
        deeper, done, shift = Reading("", self), 0, 0
        for escape in ESCAPE.finditer(self.text):
            raw = escape[0]
            char = _known(raw) if len(raw) < LONGEST_KNOWN else _character(raw)
            if char:
                start, end = escape.span()
                pieces += (self.text[done:start], char)
                deeper._at.append(start - shift)
                deeper._ends.append(end)
                done, shift = end, shift + end - start - 1
        if not done:
            return None
        deeper.text = "".join(pieces) + self.text[done:]
        return deeper


def readings(text: str) -> Iterable[Reading]:
    """The source as it stands, then decoded ever further. Those of the last texts are remembered: a page is looked at,
    a little later rewritten."""
    return _remembered(text) if len(text) <= LONGEST_REMEMBERED else _readings(text)


def _readings(text: str) -> Iterator[Reading]:
    reading: Reading | None = Reading(text)
    for _ in range(ROUNDS):
        if reading is None:
            return
        yield reading
        reading = reading.next()


def plain(text: str) -> str:
    """The last of its readings."""
    *_, last = _readings(text)
    return last.text


@lru_cache(16)  # two texts for each of five steps, and then some
def _remembered(text: str) -> tuple[Reading, ...]:
    return tuple(_readings(text))


def _character(raw: str) -> str | None:
    """What an escape stands for, if that is one character."""
    raw = CHAINS.sub("", raw)
    try:
        return {"%": _percent, "&": _entity, "\\": _backslash}[raw[0]](raw)
    except (ValueError, OverflowError):  # not UTF-8, not Unicode
        return None


_known = lru_cache(4096)(_character)


def _percent(raw: str) -> str:
    return bytes.fromhex(raw.replace("%", "")).decode()


def _entity(raw: str) -> str | None:
    if raw[1] != "#":
        char = html5.get(raw[1:])
        return char if char and len(char) == 1 else None
    return _code(int(raw[3:-1], 16) if raw[2] in "xX" else int(raw[2:-1]))


def _backslash(raw: str) -> str | None:
    if len(raw) == 12:  # a pair that stands for one character
        high, low = int(raw[2:6], 16), int(raw[8:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
    return _code(int(raw[2:], 16)) if len(raw) > 2 else raw[-1]


def _code(code: int) -> str | None:
    return None if 0xD800 <= code < 0xE000 else chr(code)
