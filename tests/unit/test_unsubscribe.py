"""Tokens to unsubscribe, hashes of addresses, and what inbound texts mean. Pure."""

from __future__ import annotations

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as some

from pipeline_engine.admin.inbound_texts import signature
from pipeline_engine.domain.messages.addresses import address_hash, normal_address, spellings_of
from pipeline_engine.domain.messages.inbound_text import InboundText
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.messages.unsubscribe import new_token, read_token

KEY, OTHER = b"k" * 32, b"o" * 32
WISH = OptOut(ObjectId(), "email", "Ada@Example.com", "automation:1")


def test_a_token_stands_for_account_channel_address_and_source() -> None:
    token = new_token(KEY, WISH)
    assert read_token(KEY, token) == WISH
    assert token == new_token(KEY, WISH)
    assert token.replace("-", "").replace("_", "").isalnum()


@pytest.mark.covers("R-06")
def test_a_token_of_another_key_or_with_a_changed_character_stands_for_nothing() -> None:
    token = new_token(KEY, WISH)
    assert read_token(OTHER, token) is None
    for place in range(len(token) - 1):
        changed = "A" if token[place] != "A" else "B"
        assert read_token(KEY, token[:place] + changed + token[place + 1 :]) is None


@given(some.text(max_size=2000))
def test_no_text_that_is_no_token_raises(text: str) -> None:
    assert read_token(KEY, text) is None


@pytest.mark.covers("R-05")
def test_one_address_has_one_hash_that_needs_the_key() -> None:
    hashes = {address_hash(KEY, normal_address("email", one)) for one in ("Ada@Example.com", "ada@example.com")}
    assert len(hashes) == 1
    assert address_hash(OTHER, "ada@example.com") not in hashes
    assert "ada" not in "".join(hashes)


@pytest.mark.parametrize(
    ("given", "country", "normal"),
    [
        ("+4915123456789", None, "+4915123456789"),
        ("015123456789", "DE", "+4915123456789"),
        ("5005550006", "US", "+15005550006"),
        ("015123456789", None, "015123456789"),
        ("12345", "ZZ", "12345"),
    ],
)
def test_a_telephone_number_is_known_by_its_international_form(given: str, country: str | None, normal: str) -> None:
    assert normal_address("sms", given, country) == normal


def test_a_number_is_looked_for_in_the_usual_spellings() -> None:
    found = spellings_of("sms", "+4915123456789", "DE")
    assert {"+4915123456789", "4915123456789", "004915123456789", "015123456789"} <= set(found)
    assert "015123456789" not in spellings_of("sms", "+4915123456789", "US")


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("STOP", "stop"),
        (" stop. ", "stop"),
        ("Unsubscribe", "stop"),
        ("STOPALL", "stop"),
        ("quit!", "stop"),
        ("START", "start"),
        ("yes", "start"),
        ("Help", "help"),
        ("stop by at five", "reply"),
        ("", "reply"),
    ],
)
def test_only_a_word_by_itself_is_a_command(body: str, meaning: str) -> None:
    assert InboundText("SM1", "+15005550006", body).meaning == meaning


def test_the_signature_is_that_of_twilio_s_documentation() -> None:
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    found = signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", fields)
    assert found == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
