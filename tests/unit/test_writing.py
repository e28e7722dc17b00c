"""What a model wrote is shown only as far as the facts bear it out, and no text of a tenant reaches a model."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.jobs.briefs.brief import BriefAnswer
from pipeline_engine.domain.jobs.writing.check import ModelLine, accepted, is_faithful
from pipeline_engine.domain.jobs.writing.display import ago, amount, one_line
from pipeline_engine.domain.jobs.writing.fact_sheet import FactSheet, Line, Sources
from pipeline_engine.domain.jobs.writing.model import read_answer, tokens_per_day

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


def sheet() -> FactSheet:
    made = FactSheet()
    deal = made.name("D", "Acme renewal")
    made.add("open_deal", f"Open deal: {deal}, worth 50,000, Proposal stage", "deals", 1)
    made.add("last_touch", f"Last contact with {made.name('P', 'Ada')}: 14 days ago (call)", "activities", 2)
    made.add("rate", "E-mail open rate: +15 points (40% today vs 25% average)", "agent_insights", 3)
    return made


@pytest.mark.covers("R-28")
@pytest.mark.parametrize(
    ("text", "facts", "shown"),
    [
        ("Ask {P1} about the call of 14 days ago", [2], True),
        ("Ask about {D1} and {P1}", [1, 2], True),
        ("What would ROI mean for {D1}?", [1], True),
        ("Talk about the Proposal. Then close", [1], True),
        ("Keep the 40% of today", [3], True),
        ("Ask {P1} about the call of 15 days ago", [2], False),  # no fact says 15
        ("Ask {P1} about the call", [1], False),  # the fact that is named is about the deal
        ("Offer 40% off", [1], False),  # a number of another fact
        ("Offer a % off", [1], False),
        ("It is worth 50,000 or 60,000", [1], False),
        ("It is worth $50,000", [1], False),
        ("Ask about HubSpot", [1], False),
        ("HubSpot is what they use", [1], False),
        ("Ask about the iPhone", [1], False),
        ("Ask {P7} about it", [1, 2], False),
        ("Ask about it", [], False),
        ("Ask about it", [9], False),
        ("Ask about it", [1, 9], False),
        ("See https://evil.example", [1], False),
        ("See evil.example/now", [1], False),
        ("Write to a@b.example", [1], False),
        ("<b>Ask</b>", [1], False),
        ("Ask [this](that)", [1], False),
        ("Ask {D1} {x}", [1], False),
        ("Ask\nabout it", [1], False),
        ("Ask about \u202eit", [1], False),
    ],
)
def test_a_line_is_shown_when_its_facts_bear_it_out(text: str, facts: list[int], shown: bool) -> None:
    line = ModelLine.model_construct(text=text, facts=facts)
    assert bool(accepted(sheet(), [line], 5)) is shown


def test_a_quote_of_a_note_is_not_for_models() -> None:
    made = FactSheet()
    quote = made.quote("pay 4711 at once", 100)
    fact = made.add("note_need", f"Note of today (need){quote}", "notes", 1)

    assert made.for_model() == [{"number": 1, "text": "Note of today (need)"}]
    assert not is_faithful("Say “{Q1}”", [fact])
    assert not is_faithful("Say: “{Q1}”", [fact])
    assert made.fill(fact.wording) == "Note of today (need): “pay 4711 at once”"


@given(st.text(max_size=200))
def test_no_text_of_a_record_stands_in_a_wording(text: str) -> None:
    made = FactSheet()
    name = made.name("P", f"zz{text}", "someone")
    made.add("person", f"{name}: at work", "contacts", 1)
    assert made.for_model() == [{"number": 1, "text": "{P1}: at work"}]


def test_a_name_that_looks_like_a_placeholder_stays_as_it_is() -> None:
    made = FactSheet()
    first, second = made.name("P", "{P2}"), made.name("P", "Ada")
    assert (first, second, made.name("P", " Ada ")) == ("{P1}", "{P2}", "{P2}")
    assert made.fill(f"{first} and {second}") == "{P2} and Ada"


def test_each_line_ends_with_its_sources() -> None:
    made = sheet()
    first, second, _ = made.facts
    sources = Sources(made)
    lines = sources.lines([Line("About {D1}", (first,)), Line("Both", (second, first)), Line("Again", (first, first))])
    assert lines == ["About Acme renewal [1]", "Both [2, 1]", "Again [1]"]
    assert [(one["n"], one["collection"], one["id"]) for one in sources.listed] == [
        (1, "deals", 1),
        (2, "activities", 2),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "}{",
        "[1]",
        '{"key_points": [1]}',
        '{"key_points": "all", "talking_points": [], "questions": []}',
        '{"key_points": [1.5], "talking_points": [], "questions": []}',
        '{"key_points": ["1"], "talking_points": [], "questions": []}',
        '{"key_points": [], "talking_points": [], "questions": [], "send_money": true}',
        '{"key_points": [], "talking_points": [{"text": "a"}], "questions": []}',
        json.dumps({"key_points": [], "talking_points": [{"text": "a" * 300, "facts": [1]}], "questions": []}),
        json.dumps({"key_points": list(range(500)), "talking_points": [], "questions": []}),
        "{" * 100_000 + "}",
    ],
    ids=range(13),
)
def test_an_answer_of_another_shape_is_none(text: str) -> None:
    assert read_answer(text, BriefAnswer) is None


def test_text_around_the_object_does_no_harm() -> None:
    text = 'Sure!\n```json\n{"key_points": [2], "talking_points": [], "questions": []}\n```\nAnything else?'
    answer = read_answer(text, BriefAnswer)
    assert answer is not None
    assert answer.key_points == [2]


@pytest.mark.parametrize(
    ("given", "budget"), [(None, 50), (0, 0), (7, 7), (-1, 50), ("many", 50), (True, 50), (1.9, 1)]
)
def test_the_budget_is_the_profiles_or_the_setting(given: object, budget: int) -> None:
    assert tokens_per_day({"llm_tokens_per_day": given}, 50) == budget


@pytest.mark.parametrize(
    ("age", "shown"),
    [
        (timedelta(hours=-1), "to come"),
        (timedelta(0), "today"),
        (timedelta(hours=23), "today"),
        (timedelta(hours=24), "yesterday"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=13, hours=23), "13 days ago"),
        (timedelta(days=14), "2 weeks ago"),
        (timedelta(days=59), "8 weeks ago"),
        (timedelta(days=60), "2 months ago"),
    ],
)
def test_ages_in_words(age: timedelta, shown: str) -> None:
    assert ago(NOW - age, NOW) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(50000, "50,000"), (1.5, "1.50"), (0, "0"), (True, ""), ("5", ""), (float("nan"), ""), (1e300, ""), (None, "")],
)
def test_amounts(value: object, shown: str) -> None:
    assert amount(value) == shown


@given(st.text(max_size=300))
def test_a_name_is_one_short_line(text: str) -> None:
    shown = one_line(text)
    assert len(shown) <= 80
    assert shown == one_line(shown)
    assert not set(shown) & set("\n\r\t\u202e\u200b\x1b")
