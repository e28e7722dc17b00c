"""Finds references that a rewrite missed. Pure.

On purpose it decodes in another way than the rewrite itself, and more loosely: with the standard library, all encodings
at once, again and again, whether or not the result makes sense.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import unescape
from urllib.parse import unquote

from pipeline_engine.domain.funnels.reference_finder import ReferenceFinder

MAX_ROUNDS = 12
WINDOW = 256 * 1024  # characters
MAX_ESCAPE = 32  # characters that one character of a reference may take
MAX_LEFTOVERS = 100  # of one text
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});?", re.IGNORECASE)
# The expression begins with a single character, which `re` finds quickly.
UNICODE = re.compile(r"\\(?:\\*[ux]((?<=u)[0-9a-f]{4}|(?<=x)[0-9a-f]{2})|\\*(?![bfnrt]))", re.IGNORECASE)


class LeftoverFinder:
    """Made of the `replacements` that the rewrite used.

    A reference that is also the replacement of one (itself included) does not count as left over: the finder cannot
    distinguish it from what the rewrite wrote.
    """

    def __init__(self, replacements: Mapping[str, str]) -> None:
        written = frozenset(filter(None, replacements.values()))
        self._sources = frozenset(filter(None, replacements)) - written
        self._finder = ReferenceFinder(self._sources | written)
        self._overlap = MAX_ESCAPE * max(map(len, self._sources), default=0)

    def find(self, text: str) -> Iterator[tuple[int, str]]:
        """Position and name of the references left in the text, at most 100 of them."""
        seen: set[tuple[int, str]] = set()
        for start in range(0, len(text), WINDOW):
            window = text[start : start + WINDOW + self._overlap]
            for at, reference in self._in_window(window, start == 0, start + len(window) == len(text)):
                place = (start + at, reference)
                if place not in seen:
                    yield place
                seen.add(place)
                if len(seen) == MAX_LEFTOVERS:
                    return

    def _in_window(self, window: str, first: bool, last: bool) -> Iterator[tuple[int, str]]:
        """The leftovers of one window: of each reference, those that the first round which shows it has.

        What touches an edge that is not the text's own may be a part of something longer: the next window has it whole.
        """
        found: set[str] = set()
        for rounds, text in enumerate(_rounds(window)):
            here = [
                (start, reference)
                for start, end, reference in self._finder.find_plain(text)
                if reference in self._sources - found and (first or start) and (last or end < len(text))
            ]
            for start, reference in here:
                yield (start if rounds == 0 else self._near(window, reference, rounds)), reference
            found |= {reference for _, reference in here}

    def _near(self, window: str, reference: str, rounds: int) -> int:
        """Where the first occurrence ends that is plain after so many rounds."""
        low, high = 0, len(window)
        while low < high:
            middle = (low + high) // 2
            if reference in {one for _, _, one in self._finder.find_plain(_decoded(window[:middle], rounds))}:
                high = middle
            else:
                low = middle + 1
        return low


def _rounds(text: str) -> Iterator[str]:
    """The text, then decoded once, twice and so on, until a round changes nothing."""
    for _ in range(MAX_ROUNDS):
        yield text
        decoded = _decoded(text)
        if decoded == text:
            return
        text = decoded


def _decoded(text: str, rounds: int = 1) -> str:
    for _ in range(rounds):
        text = unquote(ENTITY.sub(_entity, UNICODE.sub(_unicode, text)))
    return text


def _entity(match: re.Match[str]) -> str:
    return _unescaped(match[0])


_unescaped = lru_cache(4096)(unescape)  # a page has few different ones


def _unicode(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else ""
