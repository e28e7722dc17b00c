"""The briefing agent: writes a brief from the facts of a sheet, with the model if there is one, else by rules.

A model chooses which facts matter and writes talking points and questions; what is the case is always worded by the
engine. A part that a model leaves empty, or of which no line passes the check, is written by rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline_engine.domain.jobs.briefs.agents import gather
from pipeline_engine.domain.jobs.briefs.meeting import Meeting
from pipeline_engine.domain.jobs.briefs.notes import add_notes
from pipeline_engine.domain.jobs.writing.check import MAX_ANSWER_LINES, ModelLine, accepted, cited
from pipeline_engine.domain.jobs.writing.display import count, one_line
from pipeline_engine.domain.jobs.writing.fact_sheet import Fact, FactSheet, Line, Sources
from pipeline_engine.domain.jobs.writing.model import Model

MAX_KEY_POINTS, MAX_TALKING_POINTS, MAX_QUESTIONS = 8, 4, 4

IMPORTANCE = (
    *("last_touch", "open_deal", "quiet_deal", "note_competitor", "note_objection", "note_decision", "note_timeline"),
    *("note_budget", "note_need", "customer", "won", "high_intent", "never_touched", "person", "company", "note_other"),
    *("grade", "medium_intent", "more_deals", "strangers", "event"),
)
"""The kinds of facts in the order in which rules show them."""

TALKING_POINTS = {
    "open_deal": "The next step for {D}",
    "quiet_deal": "What has changed since anything last happened on {D}",
    "note_competitor": "How this compares with what they use today",
    "note_objection": "The concern in the note",
    "note_budget": "What it costs and what it brings",
    "note_timeline": "What has to be ready by when",
    "note_need": "How the need in the note is met",
    "customer": "What {P} has got out of it so far",
    "high_intent": "What {P} has looked at lately",
    "never_touched": "Who is who, as {P} has not been spoken to before",
    "person": "What matters most to {P}",
    "event": "What everyone wants from this meeting",
}
"""By the kind of a fact, what to talk about because of it. `{D}` and `{P}` are the first such names in the fact."""
QUESTIONS = {
    "open_deal": "What is the timeline for a decision on {D}?",
    "note_decision": "Who else has a say in the decision?",
    "quiet_deal": "What stands in the way of {D}?",
    "customer": "What would make the biggest difference to {P} next?",
    "never_touched": "What are the top three pain points of {P}?",
    "person": "Which other stakeholders should {P} bring in?",
    "event": "What would make this meeting a success?",
}

INSTRUCTIONS = (
    "You prepare a salesperson for a meeting. In `key_points` put the numbers of the facts that matter most, the most"
    f" important first, at most {MAX_KEY_POINTS}. In `talking_points` and `questions` write at most"
    f" {MAX_TALKING_POINTS} short lines each, in English, and name for each line the numbers of the facts it rests on."
)


class BriefAnswer(BaseModel):
    """A brief as a model returns it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key_points: list[int] = Field(max_length=4 * MAX_KEY_POINTS)
    talking_points: list[ModelLine] = Field(max_length=MAX_ANSWER_LINES)
    questions: list[ModelLine] = Field(max_length=MAX_ANSWER_LINES)


@dataclass(frozen=True)
class Draft:
    """The lines of a brief, with placeholders."""

    key_points: Sequence[Line]
    talking_points: Sequence[Line]
    questions: Sequence[Line]


async def write_brief(meeting: Meeting, model: Model) -> dict[str, Any]:
    """The brief as it is stored: `{headline, key_points, talking_points, questions, sources, written_by}`. Each line
    ends with the numbers of its sources."""
    sheet = gather(meeting)
    await add_notes(meeting, sheet, model)
    if not sheet.facts:
        sheet.add("event", "Nothing is known about those who come", "calendar_events", meeting.event["_id"])
    answer = await model.ask("meeting brief", BriefAnswer, INSTRUCTIONS, {"facts": sheet.for_model()})
    rules = by_rules(sheet)
    draft = by_model(sheet, answer) if answer else rules
    sources = Sources(sheet)
    lines = {
        "key_points": sources.lines(draft.key_points),
        "talking_points": sources.lines(draft.talking_points),
        "questions": sources.lines(draft.questions),
    }
    written_by = "rules" if draft == rules else "model"
    return {"headline": headline(meeting), **lines, "sources": sources.listed, "written_by": written_by}


def by_rules(sheet: FactSheet) -> Draft:
    """The brief without a model: the same facts always give the same brief."""
    facts = sheet.of_kind(*IMPORTANCE)
    return Draft(
        [Line(fact.wording, (fact,)) for fact in facts[:MAX_KEY_POINTS]],
        [*_suggested(facts, TALKING_POINTS)][:MAX_TALKING_POINTS],
        [*_suggested(facts, QUESTIONS)][:MAX_QUESTIONS],
    )


def by_model(sheet: FactSheet, answer: BriefAnswer) -> Draft:
    """What of a model's brief may be shown; parts of which nothing may are written by rules."""
    rules = by_rules(sheet)
    chosen = [Line(fact.wording, (fact,)) for number in answer.key_points for fact in cited(sheet, [number])]
    unique = [*dict.fromkeys(chosen)][:MAX_KEY_POINTS]
    return Draft(
        unique or rules.key_points,
        accepted(sheet, answer.talking_points, MAX_TALKING_POINTS) or rules.talking_points,
        accepted(sheet, answer.questions, MAX_QUESTIONS) or rules.questions,
    )


def headline(meeting: Meeting) -> str:
    """`Meeting in 30 minutes: John Doe @ Acme Corp`."""
    minutes = round((meeting.event["starts_at"] - meeting.now).total_seconds() / 60)
    when = f"in {count(minutes, 'minute')}" if minutes > 0 else "now"
    return f"Meeting {when}: {_people(meeting)}"


def _people(meeting: Meeting) -> str:
    if not meeting.contacts:
        return one_line(meeting.event.get("title")) or "no attendees who are contacts"
    first = meeting.contacts[0]
    name = one_line(first.get("name")) or one_line(first.get("email")) or "a contact"
    company = one_line(first.get("company"))
    others = len(meeting.contacts) - 1 + len(meeting.strangers)
    rest = f" and {count(others, 'other')}" if others else ""
    return f"{name} @ {company}{rest}" if company else f"{name}{rest}"


def _suggested(facts: Sequence[Fact], lines: dict[str, str]) -> Iterator[Line]:
    """A line for each fact that suggests one, each wording once."""
    seen: set[str] = set()
    for kind in lines:
        for fact in facts:
            if fact.kind != kind:
                continue
            wording = _with_names(lines[kind], fact.wording)
            if wording not in seen:
                seen.add(wording)
                yield Line(wording, (fact,))


def _with_names(line: str, wording: str) -> str:
    """The line with the placeholders of the fact for `{D}` and `{P}`."""
    for letter, otherwise in (("D", "the deal"), ("P", "the contact")):
        found = wording.partition(f"{{{letter}")[2].partition("}")[0]
        line = line.replace(f"{{{letter}}}", f"{{{letter}{found}}}" if found else otherwise)
    return line
