"""Marks of ids and image keys: the part by which one is recognised wherever and however it stands. Pure."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Collection, Iterator

from ahocorasick_rs import BytesAhoCorasick, Implementation

from pipeline_engine.domain.funnels.stretches import one_byte_each

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-([0-9a-f]{12})(?![0-9a-f])", re.IGNORECASE)
HEX_ID = re.compile("[0-9a-f]{24}", re.IGNORECASE)
# base64 of 24 hexadecimal digits contains neither "+" nor "/"; its first and last characters depend on the neighbours.
MIN_BASE64 = 30
MAX_NESTED_BASE64 = 2
LETTER, NEWLINE, OTHER = b"a", b"n", b"."
LETTERS = bytes(
    (LETTER if chr(byte).isascii() and chr(byte).isalnum() else NEWLINE if byte in b"\r\n" else OTHER)[0]
    for byte in range(256)
)
STRETCH = re.compile(rb"a{%d,}+(?:n{1,2}+a++)*+" % MIN_BASE64)


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
    """Where something stands that may be base64, and what it then contains, in all four ways to begin.

    What is in base64 twice is contained twice: as base64, and as a text of its own.
    """
    raw = one_byte_each(text)
    kinds = raw.translate(LETTERS)
    if depth == 0 or kinds.find(LETTER * MIN_BASE64) < 0:
        return
    for stretch in STRETCH.finditer(kinds):
        letters = raw[stretch.start() : stretch.end()].translate(None, b"\r\n")
        inner = "\n".join(_decoded(letters[skipped:]) for skipped in range(4))
        yield stretch.start(), inner
        for _, deeper in base64_texts(inner, depth - 1):
            yield stretch.start(), deeper


def _decoded(letters: bytes) -> str:
    padded = letters + b"AAA"  # so that the last letters count, however many there are
    return a2b_base64(padded[: len(padded) // 4 * 4]).decode("latin-1")
