"""Cells become values."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.values import MAX_STAGE_CHARS, choice, name_key, stage_name

# Letters whose cases, compositions or compatible forms are peculiar, and blanks.
FOLDING = "aA\u0130\u0131\u017fẞß\u03a3\u03c3\u03c2\u0345\u0301\u00a0\u2003 \tﬁ\uff21①Å\u212b가\u1100"
UNSEEN = "\u200b\u200d\u0915\ufe0f\u1161\x1a"
NAMES = st.text(max_size=12) | st.text(alphabet=FOLDING + UNSEEN, max_size=12)


@pytest.mark.covers("DI-15", "DI-X9")
def test_every_blank_and_dash_of_a_choice_becomes_an_underscore() -> None:
    assert choice("In-Progress") == "in_progress"
    assert choice("Closed - Won - Twice") == "closed___won___twice"
    assert choice("month-to-month") == "month_to_month"
    assert choice("") == ""
    for cell in ("Closed\u00a0Won", "Closed\u2013Won", "Closed  Won", "closed won\u200b", "\ufeffClosed\u2014WON"):
        assert choice(cell) == "closed_won"


@pytest.mark.covers("DI-15", "DI-X9")
def test_stage_names_are_trimmed_collapsed_composed_and_lower_case() -> None:
    assert stage_name("  Closed \t\u00a0 Won\n") == "closed won"
    assert stage_name("Cafe\u0301") == "caf\u00e9"
    assert stage_name("  Ange\u0301bot  1 ", "keep") == "Ang\u00e9bot 1"
    assert stage_name(" \u2003 ") == ""


@pytest.mark.covers("DI-X9")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Qualified", "qUALIFIED"),
        (" Closed  Won", "closed\u00a0won "),
        ("Straße", "STRASSE"),
        ("Café", "Cafe\u0301"),
        ("\uff21\uff22\uff23 \uff11", "abc 1"),
        ("ﬁnal", "FINAL"),
        ("\u0394\u039f\u03a3", "\u03b4\u03bf\u03c2"),
        ("New", "New\u200b"),
        ("New", "\ufeffNe\u00adw"),
        ("New", "New\x1a"),
        ("New", "N\u200dew\u200c"),
        ("e\u200b\u0301t", "\u00e9t"),
    ],
)
def test_names_of_one_stage_have_one_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)
    assert name_key(one) != name_key(one + "x")


@pytest.mark.parametrize(
    "name", ["\u0646\u0645\u06cc\u200c\u062e\u0648", "क्\u200dष", "👨\u200d👩\u200d👧", "❤\ufe0f\u200d🔥"]
)
def test_joiners_stay_where_they_mean_something(name: str) -> None:
    assert stage_name(name) == name_key(name) == name


def test_what_cannot_be_seen_is_no_part_of_a_stage_name() -> None:
    assert {stage_name(name) for name in ("New", "New\u200b", "\ufeffNew", "Ne\u00adw", "New\x1a")} == {"new"}
    assert stage_name("New\u200b", "keep") == "New"


@given(name=NAMES)
def test_keys_and_names_are_stable(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name)
    for lower in (stage_name(name), stage_name(name, "keep")):
        assert name_key(lower) == name_key(name)
    assert stage_name(stage_name(name)) == stage_name(name)
    assert unicodedata.is_normalized("NFC", stage_name(name))


def test_every_character_that_is_not_blank_has_a_key() -> None:
    characters = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    assert all(name_key(character) for character in characters if stage_name(character))


@pytest.mark.covers("R-21")
def test_a_stage_name_is_short_enough_for_the_square_of_its_length() -> None:
    """Ordering combining marks takes quadratic time: 64 KB of them would hold the loop for over a second."""
    hostile = "a" + "\u0301\u0327" * (MAX_STAGE_CHARS // 2)
    began = time.process_time()
    for _ in range(500):
        stage_name(hostile)
        name_key(hostile)
    assert time.process_time() - began < 1
