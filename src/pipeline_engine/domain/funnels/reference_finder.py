"""Finds references (24-hex ids, uuids, image keys) in a text: leftmost first, of these the longest, none that is only
a part of a longer id or key. Pure.

Most of a page has no run of characters that a reference could begin with, and is skipped quickly. In the rest, one
regular expression finds where a reference may begin and dictionaries say which one it is, so the time hardly depends
on the number of references.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from pipeline_engine.domain.funnels.decoded_text import DecodedText, decoded_texts, fully_decoded

HEAD_CHARACTERS = 8  # of a reference, which the expression searches for: a uuid's before its first dash
OTHER, FIT = b"\0", b"\1"  # whether a character occurs in any head
ID = re.compile(r"[0-9a-fA-F-]{24,36}")
HEX = frozenset("0123456789abcdefABCDEF")
WORD = re.compile(r"\w")
LONGER_BEFORE = re.compile(r"\w\Z|\.\Z|\w-\Z")
# An escape counts as part of a longer word: what it stands for shows in the next round of decoding.
LONGER_AFTER = re.compile(r"\w|[-./]\w|%[0-9a-fA-F]{2}|\\+[ux][0-9a-fA-F]{2}")
# The letter of such an escape does not count as part of a word.
CONTROL_ESCAPES = frozenset(f"\\{letter}" for letter in "bfnrt")


@dataclass(frozen=True)
class FoundReference:
    """A reference from `start` to `end` of the source; in `decoded`, it is plain, starts at `at` and reads `text`."""

    start: int
    end: int
    reference: str
    decoded: DecodedText
    at: int
    text: str


class ReferenceFinder:
    """Finds a fixed set of references; compiled once for many texts."""

    def __init__(self, references: Collection[str]) -> None:
        self._by_text = _by_text(reference for reference in references if reference)
        self._by_spaced = {_spaced(text): reference for text, reference in reversed(self._by_text.items())}
        lengths: dict[str, set[int]] = {}
        for text in self._by_spaced:
            lengths.setdefault(text[:HEAD_CHARACTERS], set()).add(len(text))
        self._lengths = {head: _longest_first(head, lengths) for head in lengths}
        self._head = re.compile(_either(sorted(lengths)))
        self._fit = _fit(lengths)
        self._stretch = FIT * min(map(len, lengths), default=1)

    def find(self, text: str) -> list[FoundReference]:
        """The references in every encoding, in the order of the text, none overlapping another."""
        found = [
            FoundReference(decoded.source(start), decoded.source(end), name, decoded, start, decoded.text[start:end])
            for decoded in decoded_texts(text)
            for start, end, name in self.find_plain(decoded.text)
        ]
        found.sort(key=lambda one: (one.start, -one.end))
        return list(_apart(found))

    def find_plain(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and name of the references that are not encoded."""
        fit = _bytes(text).translate(self._fit) + OTHER
        at = stop = 0
        while (at := fit.find(self._stretch, at)) >= 0:
            if at >= stop:
                stop = fit.find(OTHER, at)
            if head := self._head.search(text, at, stop):
                start = head.start()
                at, reference = self._at(text, start, head[0])
                if reference:
                    yield start, at, reference
            else:
                at = stop

    def _at(self, text: str, start: int, head: str) -> tuple[int, str | None]:
        for length in self._lengths[_spaced(head)]:
            candidate = text[start : start + length]
            end = start + len(candidate)
            reference = self._by_text.get(candidate) or self._by_spaced.get(_spaced(candidate))
            if reference and not _is_part(text, start, end):
                return end, reference
        return start + 1, None


def _by_text(references: Iterable[str]) -> dict[str, str]:
    """{text: reference} for every plain text that means a reference. A reference's own text has precedence."""
    by_text = {reference: reference for reference in references}
    for reference in list(by_text):
        for text in (fully_decoded(reference), *_cases(reference)):
            by_text.setdefault(text, reference)
    return by_text


def _cases(reference: str) -> tuple[str, ...]:
    return (reference.lower(), reference.upper()) if ID.fullmatch(reference) else ()


def _spaced(text: str) -> str:
    """The text with each plus as a space, which it means in a form's data."""
    return text.replace("+", " ")


def _longest_first(head: str, lengths: dict[str, set[int]]) -> list[int]:
    """The lengths of all references that may begin where the expression finds this head."""
    heads = (head[:size] for size in range(1, len(head) + 1))
    return sorted(set().union(*(lengths.get(one, ()) for one in heads)), reverse=True)


def _fit(heads: Iterable[str]) -> bytes:
    """A table for `bytes.translate` that maps the characters of heads to FIT and all others to OTHER."""
    characters = {char for head in heads for char in head.replace(" ", " +")}
    fit = _bytes("".join(characters))
    return b"".join(FIT if byte in fit else OTHER for byte in range(256))


def _bytes(text: str) -> bytes:
    """One byte for each character; all those beyond Latin-1 become the same byte."""
    return text.encode("latin-1", "replace")


def _either(heads: list[str]) -> str:
    """An expression for the longest of the sorted heads that fits. It is a tree, so that many heads cost little."""
    if len(heads) == 1:
        return "".join(map(_character, heads[0]))
    branches: dict[str, list[str]] = {}
    for head in heads:
        branches.setdefault(head[:1], []).append(head[1:])
    shortest = branches.pop("", None)
    either = "|".join(_character(first) + _either(rests) for first, rests in branches.items())
    return f"(?:{either}){'?' if shortest else ''}"


def _character(char: str) -> str:
    return "[ +]" if char == " " else re.escape(char)


def _is_part(text: str, start: int, end: int) -> bool:
    """Whether the candidate is only a part of a longer id or key."""
    before, after = text[max(0, start - 2) : start], text[end : end + 8]
    if before in CONTROL_ESCAPES:
        before = ""
    if ID.fullmatch(text, start, end):
        return before[-1:] in HEX or after[:1] in HEX
    begins_inside = WORD.match(text, start) and LONGER_BEFORE.search(before)
    ends_inside = text[end - 1] != "/" and LONGER_AFTER.match(after)
    return bool(begins_inside or ends_inside)


def _apart(found: Iterable[FoundReference]) -> Iterator[FoundReference]:
    end = 0
    for one in found:
        if one.start >= end:
            yield one
            end = one.end
