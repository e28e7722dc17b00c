"""What notes say, for a brief: sentences of theirs, quoted, and what each is about.

Anyone may have written a note: a web form, an e-mail. A model that reads notes (`NotesAnswer`) therefore returns only
numbers of sentences and topics of a fixed list, so that the most a note can bring about is to be quoted as a note. The
model that writes the brief is not given the sentences, only their topics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.jobs.briefs.meeting import Document, Meeting
from pipeline_engine.domain.jobs.writing.check import ADDRESS
from pipeline_engine.domain.jobs.writing.display import ago, one_line
from pipeline_engine.domain.jobs.writing.fact_sheet import FactSheet
from pipeline_engine.domain.jobs.writing.model import Model

MAX_NOTES, MAX_SENTENCES, MAX_QUOTES = 5, 20, 3
MIN_SENTENCE_CHARS, MAX_SENTENCE_CHARS = 8, 160
MAX_NOTE_CHARS = 4_000
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
TO_A_MODEL = re.compile(
    r"\b(ignore|disregard|forget)\b.*\b(previous|above|prior|all|instructions?|rules?)\b|\bsystem\s*prompt\b"
    r"|\byou\s+(are|must|should|will)\b|\b(assistant|chatgpt|language model|instructions?)\b|^\s*(system|user)\s*:",
    re.IGNORECASE,
)
"""A sentence that seems to address a model is never quoted: people would read an instruction in their brief."""

Topic = Literal["competitor", "budget", "timeline", "decision", "need", "objection", "other"]
WORDS: dict[Topic, re.Pattern[str]] = {
    "competitor": re.compile(r"\b(competitors?|currently us(?:e|es|ing)|switch(?:ing)? from|alternatives?)\b", re.I),
    "budget": re.compile(r"\b(budget|price|pricing|cost|expensive|discount)\b", re.I),
    "timeline": re.compile(r"\b(deadline|timeline|go[- ]live|quarter|by (?:the )?end of|urgent)\b", re.I),
    "decision": re.compile(r"\b(decision|decide[sd]?|approv\w+|sign[- ]?off|board|stakeholders?)\b", re.I),
    "need": re.compile(r"\b(needs?|wants?|looking for|pain|problem|requires?|interested)\b", re.I),
    "objection": re.compile(r"\b(concern\w*|worr\w+|objection\w*|risk\w*|doubt\w*|unhappy|complain\w*)\b", re.I),
}
"""By which words a topic is recognised without a model; the first that fits."""

INSTRUCTIONS = (
    "You sort sentences of a salesperson's notes before a meeting. Choose at most three sentences that matter most for"
    " the meeting and say which topic each is about."
)


class Pick(BaseModel):
    """A sentence that a model chose."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sentence: int
    topic: Topic


class NotesAnswer(BaseModel):
    """All that a model can say about notes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    picks: list[Pick] = Field(max_length=MAX_SENTENCES)


@dataclass(frozen=True)
class Sentence:
    text: str
    note: Document


def sentences(notes: Sequence[Document]) -> list[Sentence]:
    """What may be quoted of the newest notes: whole sentences without addresses that seem to be meant for people."""
    found = [Sentence(text, note) for note in notes[:MAX_NOTES] for text in _sentences_of(note)]
    return found[:MAX_SENTENCES]


def _sentences_of(note: Document) -> Iterator[str]:
    text = note.get("text")
    if not isinstance(text, str):
        return
    for part in SENTENCE_END.split(text[:MAX_NOTE_CHARS]):
        shown = one_line(part, MAX_SENTENCE_CHARS)
        if len(shown) >= MIN_SENTENCE_CHARS and not TO_A_MODEL.search(shown) and not ADDRESS.search(shown):
            yield shown


def topic_of(text: str) -> Topic:
    """What the sentence is about, by its words."""
    return next((topic for topic, words in WORDS.items() if words.search(text)), "other")


def by_words(found: Sequence[Sentence]) -> list[tuple[Sentence, Topic]]:
    """The sentences to quote, by rules: those with a topic first, the newest first."""
    sorted_out = [(sentence, topic_of(sentence.text)) for sentence in found]
    return sorted(sorted_out, key=lambda pair: pair[1] == "other")[:MAX_QUOTES]


def by_model(found: Sequence[Sentence], answer: NotesAnswer) -> list[tuple[Sentence, Topic]]:
    """The sentences that a model chose; numbers that are none are left out."""
    picks = {pick.sentence: pick.topic for pick in answer.picks if 1 <= pick.sentence <= len(found)}
    return [(found[number - 1], topic) for number, topic in picks.items()][:MAX_QUOTES]


async def add_notes(meeting: Meeting, sheet: FactSheet, model: Model) -> None:
    """Add facts about the notes of the meeting: their topics and, for people, what they say."""
    found = sentences(meeting.notes)
    if not found:
        return
    data = {"sentences": [{"number": place, "text": one.text} for place, one in enumerate(found, 1)]}
    answer = await model.ask("meeting notes", NotesAnswer, INSTRUCTIONS, data)
    picked = (by_model(found, answer) if answer else []) or by_words(found)
    for sentence, topic in picked:
        _add(meeting, sheet, sentence, topic)


def _add(meeting: Meeting, sheet: FactSheet, sentence: Sentence, topic: Topic) -> None:
    written = usable_date(sentence.note.get("createdAt"))
    when = f" of {ago(written, meeting.now)}" if written else ""
    about = f" ({topic})" if topic != "other" else ""
    quote = sheet.quote(sentence.text, MAX_SENTENCE_CHARS)
    sheet.add(f"note_{topic}", f"Note{when}{about}{quote}", "notes", sentence.note["_id"])
