"""Looks for what a rewriting missed. On purpose it decodes in another way than the rewriting itself, and more loosely:
by the standard library, everything at once, again and again, whether or not it makes sense."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import unescape
from urllib.parse import unquote

from pipeline_engine.domain.funnels.references import References

ROUNDS = 12
WINDOW = 256 * 1024  # characters
SPELLING = 32  # characters that one character of a reference may take
MOST = 100  # reports of one text
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});?", re.IGNORECASE)
# It begins with a single character, which `re` looks for quickly.
UNICODE = re.compile(r"\\(?:\\*[ux]((?<=u)[0-9a-f]{4}|(?<=x)[0-9a-f]{2})|\\*(?![bfnrt]))", re.IGNORECASE)


class Proof:
    """`replacements` as the rewriting had them. What is replaced by itself may stay, and so may a reference that
    something else was replaced by: it is not to be told from what was written."""

    def __init__(self, replacements: Mapping[str, str]) -> None:
        written = frozenset(filter(None, replacements.values()))
        self._sources = frozenset(filter(None, replacements)) - written
        self._references = References(self._sources | written)
        self._overlap = SPELLING * max(map(len, self._sources), default=0)

    def left(self, text: str) -> Iterator[tuple[int, str]]:
        """Where and what, at most 100 of them."""
        seen: set[tuple[int, str]] = set()
        for start in range(0, len(text), WINDOW):
            window = text[start : start + WINDOW + self._overlap]
            for at, reference in self._in_window(window, start == 0, start + len(window) == len(text)):
                place = (start + at, reference)
                if place not in seen:
                    yield place
                seen.add(place)
                if len(seen) == MOST:
                    return

    def _in_window(self, window: str, first: bool, last: bool) -> Iterator[tuple[int, str]]:
        """What touches an edge that is not the text's own may be a piece of something: the next window has it whole."""
        told: set[str] = set()
        for rounds, text in enumerate(_ever_plainer(window)):
            here = [
                (start, reference)
                for start, end, reference in self._references.plainly(text)
                if reference in self._sources - told and (first or start) and (last or end < len(text))
            ]
            for start, reference in here:
                yield (start if rounds == 0 else self._near(window, reference, rounds)), reference
            told |= {reference for _, reference in here}

    def _near(self, window: str, reference: str, rounds: int) -> int:
        """Where the first one ends that needs so many rounds."""
        low, high = 0, len(window)
        while low < high:
            middle = (low + high) // 2
            if reference in {one for _, _, one in self._references.plainly(_plainer(window[:middle], rounds))}:
                high = middle
            else:
                low = middle + 1
        return low


def _ever_plainer(text: str) -> Iterator[str]:
    for _ in range(ROUNDS):
        yield text
        plainer = _plainer(text)
        if plainer == text:
            return
        text = plainer


def _plainer(text: str, rounds: int = 1) -> str:
    for _ in range(rounds):
        text = unquote(ENTITY.sub(_entity, UNICODE.sub(_unicode, text)))
    return text


def _entity(match: re.Match[str]) -> str:
    return _unescaped(match[0])


_unescaped = lru_cache(4096)(unescape)  # a page has few different ones


def _unicode(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else ""
