"""Marks of ids and image keys: the part by which one is recognised wherever and however it stands. Pure."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Collection, Iterator
from string import ascii_letters, digits

from ahocorasick_rs import BytesAhoCorasick, Implementation

from pipeline_engine.domain.funnels.stretches import GAP, one_byte_each

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-([0-9a-f]{12})(?![0-9a-f])", re.IGNORECASE)
HEX_ID = re.compile("[0-9a-f]{24}", re.IGNORECASE)
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
    """Finds a fixed set of marks, in capitals or small letters, also as a part of something longer."""

    def __init__(self, marks: Collection[str]) -> None:
        self._marks = list(marks)
        self._automaton = BytesAhoCorasick([mark.encode() for mark in self._marks], implementation=Implementation.DFA)

    def find(self, text: str) -> Iterator[tuple[int, str]]:
        """Where each mark stands that is not encoded."""
        found = self._automaton.find_matches_as_indexes(one_byte_each(text).lower(), overlapping=True)
        return ((start, self._marks[which]) for which, start, _ in found)


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
