"""The stretches of a text in which references may stand, so that only these need to be decoded. Pure.

However a reference is encoded, its ASCII letters and digits mostly stay as they are. So an automaton looks for one run
of them from each reference, its anchor. Where letters or digits may be encoded too, and where encodings are nested so
deeply that a reference becomes very long, everything nearby counts.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterator

from ahocorasick_rs import BytesAhoCorasick, Implementation

from pipeline_engine.domain.funnels.decoded_text import DecodedText

GOOD_ANCHOR, MAX_ANCHOR = 8, 24  # characters
MAX_ENCODED = 6  # characters that one byte of a reference usually takes at most
MAX_NESTED = 32  # the same, where encodings are nested deeply
CONTEXT_BEFORE, CONTEXT_AFTER = 32, 64  # characters that show whether a reference is part of a longer one
GAP = "\0"  # stands for what lies between two stretches
RUN = re.compile("[0-9A-Za-z]+")
# Escapes of letters, digits, dashes and of what begins an escape itself; and those that were escaped more than once.
# Each expression begins with one character, which `re` finds quickly.
WORD_CODE = "(?:2d|3[0-9]|[46][1-9a-f]|[57][0-9a])"
AMPERSAND_OF_ESCAPE = r"26(?=(?:amp;|%(?:25)*26)*(?:\#|%(?:25)*23|amp))"
NESTED = tuple(
    re.compile(expression, re.IGNORECASE | re.VERBOSE)
    for expression in (
        rf"% (?: (?:25){{2}} | (?:25)?+ (?: {WORD_CODE} | 5c | 23 | {AMPERSAND_OF_ESCAPE} ) )",
        rf"""& (?: amp;(?:amp;|quot;|apos;|\#)
            | (?:amp;)*+ \#0*+ (?:3[578]|4[589] | 5[0-7] | 6[5-9] | [78][0-9] | 9[0-27-9] | 1[01][0-9] | 12[0-2])(?!\d)
            | (?:amp;)*+ \#x0*+ (?:{WORD_CODE} | 2[356] | 5c) (?![0-9a-f]) | (?:amp;)*+ (?:num|percnt|bsol); )""",
        rf"\\ (?: \\{{3}} | \\u00 | \\*+ (?: (?:u00|x)(?:{WORD_CODE}|2[35]|5c|26(?=\#|amp)) | [%&\#] "
        rf"| 0*+{WORD_CODE}(?![0-9a-f]) | 0{{4}}{WORD_CODE} | -(?=[0-9a-f]{{4}}\\*-) ) )",
    )
)

Span = tuple[int, int]


class Stretches:
    """Made for the texts that are looked for; compiled once."""

    def __init__(self, texts: Collection[str]) -> None:
        sizes: dict[str, Span] = {}
        for text in texts:
            anchor = _anchor(text)
            before, _, after = text.partition(anchor)
            known = sizes.get(anchor.lower(), (0, 0))
            sizes[anchor.lower()] = max(known[0], _encoded(before)), max(known[1], _encoded(after))
        self._all = sizes.pop("", None) is not None  # a text without an anchor may stand anywhere
        self._sizes = [(before + CONTEXT_BEFORE, after + CONTEXT_AFTER) for before, after in sizes.values()]
        self._anchors = BytesAhoCorasick([anchor.encode() for anchor in sizes], implementation=Implementation.DFA)
        self._nested = MAX_NESTED * max(map(len, texts), default=0) + CONTEXT_AFTER

    def of(self, text: str) -> DecodedText:
        """The text with each gap between its stretches reduced to one character."""
        whole = DecodedText(text)
        if self._all:
            return whole
        cuts, pieces, done, size = array("I"), [], 0, 0
        ends = array("I")
        for start, end in self._spans(text):
            if start > done:
                cuts.append(size)
                ends.append(start)
                pieces.append(GAP)
                size += 1
            pieces.append(text[start:end])
            done, size = end, size + end - start
        if done < len(text):
            cuts.append(size)
            ends.append(len(text))
            pieces.append(GAP)
        return DecodedText("".join(pieces), whole, cuts, ends) if cuts else whole

    def _spans(self, text: str) -> Iterator[Span]:
        """Apart and in order."""
        spans = sorted([*self._around_anchors(text), *self._around_nested(text)])
        start, end = spans[0] if spans else (0, 0)
        for next_start, next_end in spans:
            if next_start > end:
                yield max(0, start), end
                start = next_start
            end = max(end, next_end)
        yield max(0, start), min(end, len(text))

    def _around_anchors(self, text: str) -> list[Span]:
        sizes = self._sizes
        found = self._anchors.find_matches_as_indexes(one_byte_each(text).lower(), overlapping=True)
        return [(start - sizes[which][0], end + sizes[which][1]) for which, start, end in found]

    def _around_nested(self, text: str) -> Iterator[Span]:
        reach = self._nested
        for expression in NESTED:
            for one in expression.finditer(text):
                yield one.start() - reach, one.end() + reach


def one_byte_each(text: str) -> bytes:
    """One byte for each character; all those beyond Latin-1 become a question mark."""
    return text.encode("latin-1", "replace")


def _anchor(text: str) -> str:
    """The first run of letters and digits that is long enough, else the longest."""
    runs = RUN.findall(text)
    return next((run for run in runs if len(run) >= GOOD_ANCHOR), max(runs, key=len, default=""))[:MAX_ANCHOR]


def _encoded(text: str) -> int:
    """How many characters the text may take."""
    plain = sum(map(len, RUN.findall(text)))
    return plain + MAX_ENCODED * (len(text.encode(errors="surrogatepass")) - plain)
