"""Finds what is left of the source in a rewritten text: references that the rewrite missed, and traces. Pure.

On purpose it decodes in another way than the rewrite itself, and more loosely: with the standard library, all encodings
at once, again and again, whether or not the result makes sense.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from html import unescape
from html.entities import html5
from urllib.parse import unquote

from pipeline_engine.domain.funnels.marks import MarkFinder, base64_texts, mark_of
from pipeline_engine.domain.funnels.reference_finder import ReferenceFinder
from pipeline_engine.domain.funnels.stretches import Stretches

MAX_ROUNDS = 12
WINDOW = 256 * 1024  # characters
MAX_ESCAPE = 32  # characters that one character of a reference may take
MAX_LEFTOVERS = 100  # of one text
ENTITY = re.compile(r"&(?:(?:#[0-9]{1,7}|#x[0-9a-f]{1,6});?|[a-z][a-z0-9]{1,31}+(?:;|(?![=a-z0-9])))", re.IGNORECASE)
# Each expression begins with a single character, which `re` finds quickly.
UNICODE = re.compile(
    r"\\(?:\\*[ux]((?<=u)[0-9a-f]{4}|(?<=x)[0-9a-f]{2})|\\*(0*[2-7][0-9a-f](?![0-9a-f])[ \t\n\f]?)|\\*(?![bfnrt]))",
    re.IGNORECASE,
)

Found = tuple[str, bool]
"""A reference, and whether it is a trace: only its mark stands there, or it is in base64."""


class LeftoverFinder:
    """Made of the `replacements` that the rewrite used, and of further references of which only traces are sought.

    A reference that is also the replacement of one (itself included), and a mark that is part of one, does not count:
    the finder cannot distinguish it from what the rewrite wrote.
    """

    def __init__(self, replacements: Mapping[str, str], traced: Collection[str] = ()) -> None:
        written = frozenset(filter(None, replacements.values()))
        self._sources = frozenset(filter(None, replacements)) - written
        self._references = ReferenceFinder(self._sources | written, exact=True)
        new = "\n".join(written).lower()
        sought = sorted({*self._sources, *traced})
        self._marks = MarkFinder([one for one in sought if (mark := mark_of(one)) and mark not in new])
        alone = ReferenceFinder(self._sources, exact=True)
        around = [one for one in written if any(alone.find_plain(one))]  # file names may contain the source's ids
        texts = [*self._sources, *self._marks.marks, *around]
        self._stretches = Stretches(texts)
        self._overlap = MAX_ESCAPE * max(map(len, texts), default=0)

    def find(self, text: str) -> Iterator[tuple[int, str, bool]]:
        """Position and name of at most 100 references left in the text, and whether each is a trace."""
        seen: set[tuple[int, str]] = set()
        for at, reference, trace in self._all(text):
            if (at, reference) not in seen:
                yield at, reference, trace
            seen.add((at, reference))
            if len(seen) == MAX_LEFTOVERS:
                return

    def _all(self, text: str) -> Iterator[tuple[int, str, bool]]:
        yield from self._outside_base64(text)
        for at, inner in base64_texts(text):
            for _, reference, _ in self._outside_base64(inner):
                yield at, reference, True

    def _outside_base64(self, text: str) -> Iterator[tuple[int, str, bool]]:
        stretches = self._stretches.of(text)
        size = len(stretches.text)
        for start in range(0, size, WINDOW):
            window = stretches.text[start : start + WINDOW + self._overlap]
            for at, (reference, trace) in self._in_window(window, start == 0, start + len(window) == size):
                yield stretches.source(start + at), reference, trace

    def _in_window(self, window: str, first: bool, last: bool) -> Iterator[tuple[int, Found]]:
        """The leftovers of one window: of each reference, those that the first round which shows it has.

        What touches an edge that is not the text's own may be a part of something longer: the next window has it whole.
        """
        left: dict[Found, list[int]] = {}
        for rounds, text in enumerate(_rounds(window)):
            here: dict[Found, list[int]] = {}
            for start, end, one in self._plain(text):
                if one not in left and (first or start) and (last or end < len(text)):
                    here.setdefault(one, []).append(start)
            left |= {one: at if rounds == 0 else [self._near(window, one, rounds)] for one, at in here.items()}
        for (reference, trace), places in left.items():
            if not trace or (reference, False) not in left:
                yield from ((at, (reference, trace)) for at in places)

    def _plain(self, text: str) -> Iterator[tuple[int, int, Found]]:
        """Those that are not encoded. What stands there as such comes first, and its mark is no trace."""
        references = list(self._references.find_plain(text))
        covered = iter(references)
        yield from ((start, end, (one, False)) for start, end, one in references if one in self._sources)
        start, end, _ = next(covered, (len(text), len(text), ""))
        for at, until, one in self._marks.find(text):
            while at >= end and end < len(text):
                start, end, _ = next(covered, (len(text), len(text), ""))
            if not start <= at < end:
                yield at, until, (one, True)

    def _near(self, window: str, wanted: Found, rounds: int) -> int:
        """Where the first occurrence ends that is plain after so many rounds."""
        low, high = 0, len(window)
        while low < high:
            middle = (low + high) // 2
            if wanted in {one for _, _, one in self._plain(_decoded(window[:middle], rounds))}:
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


@lru_cache(4096)  # a page has few different ones
def _unescaped(entity: str) -> str:
    return unescape(entity) if entity[1] == "#" or entity[1:] in html5 else entity


def _unicode(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else ""
