"""Facts for a text, each with the record it comes from. Pure.

In a fact's wording, every text that stands in a record is a placeholder such as `{P1}`. A model is given the wordings
alone: no name, title or note of a tenant reaches it, so none can instruct it. People get the text with the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline_engine.domain.jobs.writing.display import MAX_NAME_CHARS, one_line

PLACEHOLDER = re.compile(r"\{([A-Z]\d+)\}")
QUOTE = re.compile(r": “\{Q\d+\}”")
MAX_SOURCES_OF_LINE = 3


@dataclass(frozen=True)
class FactSource:
    """The record that a fact comes from."""

    collection: str
    id: Any


@dataclass(frozen=True)
class Fact:
    """`kind` says what it is about (`open_deal`); `wording` is its text with placeholders."""

    number: int
    kind: str
    wording: str
    source: FactSource


@dataclass(frozen=True)
class Line:
    """A line of a text, with placeholders, and the facts it rests on."""

    wording: str
    facts: tuple[Fact, ...]


@dataclass
class FactSheet:
    """The facts of one text, numbered from 1, and the names that its placeholders stand for."""

    facts: list[Fact] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def quote(self, text: str, max_chars: int) -> str:
        """A placeholder for a text that people see in quotation marks and a model may not use: `: “{Q1}”`."""
        return f": “{self.name('Q', text, max_chars=max_chars)}”"

    def name(self, letter: str, value: object, otherwise: str = "", max_chars: int = MAX_NAME_CHARS) -> str:
        """A placeholder for the text: the same one for the same text. Where the value is no text, `otherwise`."""
        shown = one_line(value, max_chars)
        if not shown:
            return otherwise
        for key, known in self._names.items():
            if known == shown and key.startswith(letter):
                return f"{{{key}}}"
        key = f"{letter}{sum(1 for one in self._names if one.startswith(letter)) + 1}"
        self._names[key] = shown
        return f"{{{key}}}"

    def add(self, kind: str, wording: str, collection: str, id: Any) -> Fact:
        """Add a fact about the record of this id."""
        fact = Fact(len(self.facts) + 1, kind, wording, FactSource(collection, id))
        self.facts.append(fact)
        return fact

    def of_kind(self, *kinds: str) -> list[Fact]:
        """The facts of these kinds, kind by kind."""
        return [fact for kind in kinds for fact in self.facts if fact.kind == kind]

    def for_model(self) -> list[dict[str, Any]]:
        """`{number, text}` of every fact, without names and quotes."""
        return [{"number": fact.number, "text": QUOTE.sub("", fact.wording)} for fact in self.facts]

    def fill(self, wording: str) -> str:
        """The wording with names for placeholders. A name that looks like a placeholder stays as it is."""
        return PLACEHOLDER.sub(lambda hit: self._names.get(hit[1], "someone"), wording)


def placeholders(wording: str) -> set[str]:
    """The names of the placeholders in a wording."""
    return set(PLACEHOLDER.findall(wording))


class Sources:
    """Numbers the sources of a text's lines, in the order in which lines name them."""

    def __init__(self, sheet: FactSheet) -> None:
        self._sheet = sheet
        self._numbers: dict[tuple[str, str], int] = {}
        self.listed: list[dict[str, Any]] = []
        """`{n, collection, id}` of every source named so far."""

    def lines(self, lines: Iterable[Line]) -> list[str]:
        """The lines as people read them, each followed by the numbers of its sources: `Open deal: Acme [2]`."""
        return [f"{self._sheet.fill(line.wording)} [{self._cite(line.facts)}]" for line in lines]

    def _cite(self, facts: Iterable[Fact]) -> str:
        numbers = dict.fromkeys(self._number(fact.source) for fact in facts)
        return ", ".join(map(str, [*numbers][:MAX_SOURCES_OF_LINE]))

    def _number(self, source: FactSource) -> int:
        key = (source.collection, str(source.id))
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            self.listed.append({"n": self._numbers[key], "collection": source.collection, "id": source.id})
        return self._numbers[key]
