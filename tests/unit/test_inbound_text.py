"""What a text that came in means, and under which spellings its sender's number is looked for."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.messages.inbound_text import InboundText
from pipeline_engine.domain.messages.known_leads import entry_of
from pipeline_engine.providers.phone_number import phone_spellings

COMMANDS = (
    *("STOP", "stop .", "Stop!", "STOP ALL", "StopAll", "opt out", "OPT-OUT", "OPTOUT", "Revoke", " unsubscribe\n"),
    *("CANCEL", "end", "quit", "Arrêt", "ARRETER", "arre\u0302ter", "'STOP'", "STOP \U0001f6d1"),
)
SPELLINGS = (
    *("+1 (415) 555-0101", "415-555-0101", "(415) 555-0101", "415.555.0101", "4155550101", "+1-415-555-0101"),
    *("+1 415 555 0101", "+14155550101", "14155550101", "0014155550101"),
)


def meaning(body: str, taken_for: str = "") -> str:
    return InboundText("SM1", "+14155550101", body, taken_for).meaning


@pytest.mark.covers("R-05")
@pytest.mark.parametrize("body", COMMANDS)
def test_the_words_that_carriers_know_stop(body: str) -> None:
    assert meaning(body) == "stop"


@pytest.mark.parametrize("body", ["Stop calling me, mail me", "the end", "Please don't cancel", "", "\U0001f44d"])
def test_a_sentence_is_a_reply(body: str) -> None:
    assert meaning(body) == "reply"


@pytest.mark.parametrize(("body", "taken_for", "expected"), [("PARAR", "STOP", "stop"), ("Alta", "START", "start")])
def test_what_the_provider_took_a_text_for_counts(body: str, taken_for: str, expected: str) -> None:
    assert meaning(body, taken_for) == expected
    assert meaning(body, "OTHER") == meaning(body) == "reply"


@pytest.mark.parametrize("stored", SPELLINGS)
def test_a_number_is_looked_for_in_its_usual_spellings(stored: str) -> None:
    assert stored in phone_spellings("+14155550101", "US")


def test_national_spellings_are_those_of_the_account() -> None:
    found = phone_spellings("+14155550101", "DE")
    assert all(one.lstrip("+").startswith(("1", "001")) for one in found)


def test_the_key_of_a_send_names_the_entry_of_the_lead() -> None:
    entry = ObjectId()
    assert entry_of(f"lead:{entry}:3:1") == entry
    assert [entry_of(key) for key in ("lead:x:3", "workflow:a:1", "lead", "")] == [None] * 4
