"""Whether a line that a model wrote may be shown: it says nothing that the facts it rests on do not say. Pure.

A line is refused when it names no fact, contains a number, sign or name that none of its facts contains, an address,
markup, or more than one line. What words claim without number or name cannot be checked; so a model only writes talking
points, questions and recommendations, and never what is the case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from pipeline_engine.domain.jobs.writing.display import one_line
from pipeline_engine.domain.jobs.writing.fact_sheet import PLACEHOLDER, QUOTE, Fact, FactSheet, Line, placeholders

MAX_LINE_CHARS = 240
MAX_ANSWER_LINES = 10
MAX_FACTS_OF_LINE = 10
ADDRESS = re.compile(r"://|\bwww\.|@|\b[\w-]+\.(?:[a-z]{2,})(?:/|\b)", re.IGNORECASE)
MARKUP = re.compile(r"[<>{}\[\]`|*_#\\]")
NUMBER = re.compile(r"\d[\d.,:/-]*")
SIGNS = re.compile(r"[%$€£¥₹+=]")
WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|[\"“\u2018(]\s*)$")
MAX_ACRONYM_CHARS = 4
"""A word in capitals of at most this length (ROI, CRM) is no name."""


class ModelLine(BaseModel):
    """A line as a model returns it: its text and the numbers of the facts it rests on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1, max_length=MAX_LINE_CHARS)
    facts: list[int] = Field(min_length=1, max_length=MAX_FACTS_OF_LINE)


def accepted(sheet: FactSheet, answers: Sequence[ModelLine], limit: int) -> list[Line]:
    """Those of a model's lines that may be shown, each once; at most `limit`."""
    lines: dict[str, Line] = {}
    for answer in answers:
        facts = cited(sheet, answer.facts)
        if facts and is_faithful(answer.text, facts):
            lines.setdefault(answer.text.casefold(), Line(answer.text.strip(), tuple(facts)))
    return [*lines.values()][:limit]


def cited(sheet: FactSheet, numbers: Sequence[int]) -> list[Fact]:
    """The facts of these numbers, each once; none when a number is not one of a fact."""
    known = {fact.number: fact for fact in sheet.facts}
    wanted = dict.fromkeys(numbers)
    return [known[number] for number in wanted] if all(number in known for number in wanted) else []


def is_faithful(text: str, facts: Sequence[Fact]) -> bool:
    """Whether all that can be checked in the text stands in the facts."""
    if one_line(text, MAX_LINE_CHARS) != text.strip():
        return False
    wordings = QUOTE.sub("", " ".join(fact.wording for fact in facts))
    bare = PLACEHOLDER.sub(" ", text)
    return (
        placeholders(text) <= placeholders(wordings)
        and not ADDRESS.search(bare)
        and not MARKUP.search(bare)
        and set(SIGNS.findall(bare)) <= set(SIGNS.findall(wordings))
        and _numbers(bare) <= _numbers(PLACEHOLDER.sub(" ", wordings))
        and _names(text) <= {word.casefold() for word in WORD.findall(wordings)}
    )


def _numbers(text: str) -> set[str]:
    return {hit.rstrip(".,:/-") for hit in NUMBER.findall(text)}


def _names(text: str) -> set[str]:
    """Words that are written like names, in lower case: those with a capital inside, and capitalised ones that do not
    begin a sentence."""
    inside = [(hit.start(), hit.end()) for hit in PLACEHOLDER.finditer(text)]
    return {
        hit[0].casefold()
        for hit in WORD.finditer(text)
        if _is_like_name(hit[0], _begins_sentence(text, hit.start()))
        and not any(start <= hit.start() < end for start, end in inside)
    }


def _is_like_name(word: str, begins_sentence: bool) -> bool:
    if word.isupper() and len(word) <= MAX_ACRONYM_CHARS:
        return False
    return any(one.isupper() for one in word[1:]) or (word[0].isupper() and not begins_sentence)


def _begins_sentence(text: str, at: int) -> bool:
    return SENTENCE_START.search(text[:at]) is not None
