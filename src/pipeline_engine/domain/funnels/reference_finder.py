"""Finds references (24-hex ids, uuids, image keys) in a text: leftmost first, of these the longest, none that is only
a part of a longer id or key. Pure.

An automaton finds where a reference may begin, however many there are; dictionaries say which one it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple
from unicodedata import normalize

from ahocorasick_rs import BytesAhoCorasick, Implementation

from pipeline_engine.domain.funnels.decoded_text import DecodedText, decoded_texts, fully_decoded
from pipeline_engine.domain.funnels.stretches import Stretches, one_byte_each

HEAD_CHARACTERS = 8  # of a reference, which the automaton searches for: a uuid's before its first dash
DETOUR = re.compile(r"/(?:\.?/)++")  # which means a slash
MAX_DETOUR = 16  # characters, of all detours in a key
UUID_START = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
ID = re.compile(r"[0-9a-fA-F-]{24,36}")
HEX = frozenset("0123456789abcdefABCDEF")
WORD = re.compile(r"\w")
LONGER_BEFORE = re.compile(r"\w\Z|\.\Z|\w-\Z")
# An escape counts as part of a longer word: what it stands for shows in the next round of decoding. Only that of a
# percent sign does not.
LONGER_AFTER = re.compile(
    r"\w|[-./]\w|%(?!(?:25)+(?![0-9a-f]{2}))(?:u[0-9a-f]{2})?[0-9a-f]{2}|\\+[ux][0-9a-f]{2}", re.IGNORECASE
)
# The letter of such an escape does not count as part of a word.
CONTROL_ESCAPES = frozenset(f"\\{letter}" for letter in "bfnrt")
# Nor do the digits of an escaped percent sign, which would look like an escape of the reference's first digits.
ESCAPED_PERCENT = re.compile(r"%(?:25)+\Z")
MAX_ESCAPED_PERCENT = 9  # characters
# The last letters of a word are no digits: `page66c0…`.
END_OF_WORD = re.compile(r"[g-z][a-f]+\Z", re.IGNORECASE)
MAX_END_OF_WORD = 8  # characters


class FoundReference(NamedTuple):
    """A reference from `start` to `end` of the source; in `decoded`, it is plain, starts at `at` and reads `text`."""

    start: int
    end: int
    reference: str
    decoded: DecodedText
    at: int
    text: str


class ReferenceFinder:
    """Finds a fixed set of references; compiled once for many texts."""

    def __init__(self, references: Collection[str], exact: bool = False) -> None:
        """With `exact`, another path, Unicode form or case that leads to the same image does not count."""
        self._exact = exact
        self._by_text = _by_text([reference for reference in references if reference], exact)
        self._by_spaced = {_spaced(text): reference for text, reference in reversed(self._by_text.items())}
        lengths: dict[bytes, set[int]] = {}
        for text in self._by_spaced:
            lengths.setdefault(one_byte_each(text[:HEAD_CHARACTERS]), set()).add(len(text))
        self._heads = BytesAhoCorasick(list(lengths), implementation=Implementation.DFA)
        self._lengths = [sorted(one, reverse=True) for one in lengths.values()]

    @cached_property
    def _stretches(self) -> Stretches:
        return Stretches({text for one in set(self._by_text.values()) for text in _anchored(one)})

    def find(self, text: str, whole: bool = False) -> list[FoundReference]:
        """The references in every encoding, in the order of the text, none overlapping another.

        With `whole`, what is around them is decoded too, however far away.
        """
        found = [
            (decoded.source(start), -decoded.source(end), nth, start, end, name, decoded)
            for nth, decoded in enumerate(decoded_texts(DecodedText(text) if whole else self._stretches.of(text)))
            for start, end, name in self.find_plain(decoded.text)
        ]
        found.sort(key=itemgetter(0, 1, 2))
        return list(_apart(found))

    def find_plain(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and name of the references that are not encoded."""
        spaced, done = _spaced(text), 0
        for start, lengths in self._starts(spaced):
            if start >= done:
                found = self._whole(text, spaced, start, lengths)
                if not found and not self._exact:
                    found = self._by_other_path(text, start, lengths)
                if found:
                    done, reference = found
                    yield start, done, reference

    def _whole(self, text: str, spaced: str, start: int, lengths: list[int]) -> tuple[int, str] | None:
        """Where the longest reference ends that begins here, and its name."""
        for length in lengths:
            end = min(start + length, len(text))
            reference = self._by_text.get(text[start:end]) or self._by_spaced.get(spaced[start:end])
            if reference and not _is_part(text, start, end):
                return end, reference
        return None

    def _by_other_path(self, text: str, start: int, lengths: list[int]) -> tuple[int, str] | None:
        """The same, with slashes doubled or dots between them."""
        piece = text[start : start + lengths[0] + MAX_DETOUR]
        detours = [match.span() for match in DETOUR.finditer(piece)]
        for length in lengths if detours else ():
            size = length
            for begin, end in detours:
                size += end - begin - 1 if begin < size else 0
            plain = DETOUR.sub("/", piece[:size])
            reference = self._by_text.get(plain) or self._by_spaced.get(_spaced(plain))
            if reference and not _is_part(text, start, start + size):
                return start + size, reference
        return None

    def _starts(self, spaced: str) -> list[tuple[int, list[int]]]:
        """Where a reference may begin, in order, and how long those may be that begin so, longest first."""
        starts: dict[int, list[int]] = {}
        for which, start, _ in self._heads.find_matches_as_indexes(one_byte_each(spaced), overlapping=True):
            lengths = self._lengths[which]
            starts[start] = sorted({*starts[start], *lengths}, reverse=True) if start in starts else lengths
        return sorted(starts.items())


def _by_text(references: Iterable[str], exact: bool) -> dict[str, str]:
    """{text: reference} for every plain text that means a reference. A reference's own text has precedence."""
    by_text = {reference: reference for reference in references}
    for reference in list(by_text):
        plain = fully_decoded(reference)
        for text in _cases(plain) if ID.fullmatch(plain) else (plain,) if exact else _meanings(plain):
            by_text.setdefault(text, reference)
    return by_text


def _cases(text: str) -> tuple[str, ...]:
    return text, text.lower(), text.upper()


def _meanings(key: str) -> set[str]:
    """Other texts that lead to the same object, or would do so in another place."""
    forms = _unicode_forms(key)
    if uuid := UUID_START.match(key):
        size = uuid.end()
        forms |= {form[:size].upper() + form[size:] for form in forms}
    return forms


def _anchored(reference: str) -> set[str]:
    """Texts whose anchors all the texts have that mean the reference."""
    return {reference} | _unicode_forms(fully_decoded(reference))


def _unicode_forms(text: str) -> set[str]:
    return {text} if text.isascii() else {text, normalize("NFC", text), normalize("NFD", text)}


def _spaced(text: str) -> str:
    """The text with each plus as a space, which it means in a form's data."""
    return text.replace("+", " ")


def _is_part(text: str, start: int, end: int) -> bool:
    """Whether the candidate is only a part of a longer id or key."""
    before, after = text[max(0, start - 2) : start], text[end : end + 8]
    if before in CONTROL_ESCAPES or (before == "25" and _ends(ESCAPED_PERCENT, text, start, MAX_ESCAPED_PERCENT)):
        before = ""
    if ID.fullmatch(text, start, end):
        longer_before = before[-1:] in HEX and not _ends(END_OF_WORD, text, start, MAX_END_OF_WORD)
        return longer_before or after[:1] in HEX
    begins_inside = WORD.match(text, start) and LONGER_BEFORE.search(before)
    ends_inside = text[end - 1] != "/" and LONGER_AFTER.match(after)
    return bool(begins_inside or ends_inside)


def _ends(what: re.Pattern[str], text: str, end: int, most: int) -> bool:
    """Whether the text before `end` ends so, in so many characters at most."""
    return what.search(text, max(0, end - most), end) is not None


def _apart(found: Iterable[tuple[int, int, int, int, int, str, DecodedText]]) -> Iterator[FoundReference]:
    done = 0
    for start, minus_end, _, at, stop, name, decoded in found:
        if start >= done:
            done = -minus_end
            yield FoundReference(start, done, name, decoded, at, decoded.text[at:stop])
