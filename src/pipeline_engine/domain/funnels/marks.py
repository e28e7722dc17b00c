"""Marks of ids and image keys: the part by which one is recognised wherever and however it stands. Pure."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Collection, Iterator, Mapping
from string import ascii_letters, digits

from ahocorasick_rs import BytesAhoCorasick, Implementation

from pipeline_engine.domain.funnels.stretches import GAP, one_byte_each

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-([0-9a-f]{12})(?![0-9a-f])", re.IGNORECASE)
HEX_ID = re.compile("[0-9a-f]{24}", re.IGNORECASE)
DIGITS_AND_DASH = "0123456789abcdef-"
BEFORE_MARK, DIGITS_BEFORE_MARK = 24, 20  # characters of a uuid, with and without dashes
# base64 of 24 hexadecimal digits contains neither "+" nor "/"; its first and last characters depend on the neighbours.
MIN_BASE64 = 30
MAX_NESTED_BASE64 = 2
ALPHANUMERIC = (ascii_letters + digits).encode()
BASE64 = ALPHANUMERIC + b"+/-_"
KINDS = bytes(b"a"[0] if byte in ALPHANUMERIC else b"."[0] for byte in range(256))
# A line may end within an id. Its end may be escaped, as in JSON, or have become a blank.
BREAK = (
    rb"[ \t\r\n]|\\++(?:[nrt\r\n]|u00(?:0[9ad]|20))|&(?:amp;)*+\#(?:0*(?:9|10|13|32)|x0*(?:[9ad]|20));"
    rb"|%(?:25)*+(?:0[9ad]|20)"
)
BREAKS = re.compile(BREAK, re.IGNORECASE)
BLOCK = re.compile(rb"(?:[0-9a-z+/_-]++|" + BREAK + rb")*+", re.IGNORECASE)
# What may stand in the lines of a block before the first long run of letters and digits.
FIRST_LINES = BASE64 + b"\\&%#; \t\r\n"
MAX_FIRST_LINES = 160  # characters
STANDARD, NO_BASE64 = bytes.maketrans(b"-_", b"+/"), bytes(byte for byte in range(256) if byte not in BASE64)


def mark_of(reference: str) -> str | None:
    """The last group of the uuid with which the id or key begins, or the 24 digits of the id, in small letters."""
    if uuid := UUID.match(reference):
        return uuid[1].lower()
    return reference.lower() if HEX_ID.fullmatch(reference) else None


class MarkFinder:
    """Finds the marks of a fixed set of references, in capitals or small letters, also as a part of something."""

    def __init__(self, references: Collection[str]) -> None:
        self._by_mark: dict[str, dict[str, str]] = {}
        for reference in references:
            if mark := mark_of(reference):
                before = _digits_before(reference, reference.lower().index(mark))
                self._by_mark.setdefault(mark, {})[before] = reference
        self.marks = list(self._by_mark)
        self._automaton = BytesAhoCorasick([mark.encode() for mark in self.marks], implementation=Implementation.DFA)

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start and end of each mark that is not encoded, and a reference that has it.

        Other ids may end alike: if more digits stand before the mark, the reference has these too.
        """
        found = self._automaton.find_matches_as_indexes(one_byte_each(text).lower(), overlapping=True)
        for which, start, end in found:
            if reference := _with_digits(self._by_mark[self.marks[which]], _digits_before(text, start)):
                yield start, end, reference


def _digits_before(text: str, at: int) -> str:
    """Those of the id whose mark stands at `at`, as far as the text has them."""
    before = text[max(0, at - BEFORE_MARK) : at].lower()
    return before[len(before.rstrip(DIGITS_AND_DASH)) :].replace("-", "")[-DIGITS_BEFORE_MARK:]


def _with_digits(references: Mapping[str, str], before: str) -> str | None:
    """Of the references, by the digits before their mark, one that has these, or fewer of them."""
    if before in references:
        return references[before]
    return next((one for own, one in references.items() if own.endswith(before) or not own), None)


def base64_texts(text: str, depth: int = MAX_NESTED_BASE64) -> Iterator[tuple[int, str]]:
    """Where something stands that may be base64, wrapped or not, and what it then contains, in all four ways to begin.

    What is in base64 twice is contained twice: as base64, and as a text of its own.
    """
    if depth:
        for start, block in _blocks(one_byte_each(text)):
            letters = BREAKS.sub(b"", block).translate(STANDARD, NO_BASE64)
            inner = GAP.join(_decoded(letters[skipped:]) for skipped in range(4))
            yield start, inner
            for _, deeper in base64_texts(inner, depth - 1):
                yield start, deeper


def _blocks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    kinds, end = raw.translate(KINDS), 0
    while (run := kinds.find(b"a" * MIN_BASE64, end)) >= 0 and (block := BLOCK.match(raw, run)):
        first_lines = raw[max(end, run - MAX_FIRST_LINES) : run]
        start = run - len(first_lines) + len(first_lines.rstrip(FIRST_LINES))
        end = block.end()
        yield start, raw[start:end]


def _decoded(letters: bytes) -> str:
    padded = letters + b"AAA"  # so that the last letters count, however many there are
    return a2b_base64(padded[: len(padded) // 4 * 4]).decode("latin-1")
