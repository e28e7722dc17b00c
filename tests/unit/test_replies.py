"""What of a reply may be stored: nothing that the call had sent, however the reply spells it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine import logs
from pipeline_engine.providers.replies import MAX_QUOTED_CHARS, RUN_CHARS, quote_reply

PHONE, ADDRESS = "+15551234567", "ada.lovelace@acme.com"
BODY = 'Dear Ada Lovelace,\nyour "secret" appointment & röntgen is at 5 o\'clock: bring 100 % of it.'
TOKEN = "a-token.that/only+we=know"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "URL": quote,
    "form": quote_plus,
    "HTML": html.escape,
    "upper case": str.upper,
    "repr": repr,
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("private", [PHONE, ADDRESS, BODY, TOKEN])
def test_what_was_sent_is_not_quoted(private: str, spell: Callable[[str], str]) -> None:
    quoted = quote_reply(f"refused: {spell(private)} is not welcome", [private])
    assert quoted.startswith("refused: ")
    for piece in (private, spell(private), "lovelace", "Lovelace", "LOVELACE", "1234567", "appointment", "only"):
        assert piece not in quoted


@pytest.mark.parametrize(
    "shown", ["+1 (555) 123-4567", "(555) 123 4567", "1-555-123-4567", "5551234567", "001 555 1234567"]
)
def test_a_number_is_found_in_other_spellings(shown: str) -> None:
    assert quote_reply(f"The number {shown} is not a valid phone number.", [PHONE]).count("123") == 0


@given(st.text("abcdef ghij\n", min_size=40, max_size=400), st.data())
def test_no_longer_piece_of_a_text_is_quoted(body: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(body) - 2 * RUN_CHARS))
    piece = body[start : data.draw(st.integers(start + 2 * RUN_CHARS, len(body)))]
    if piece.strip():
        assert piece not in quote_reply(f"Bad content ({piece}) was found", [body])


def test_the_reason_stays() -> None:
    sent = [PHONE, BODY, TOKEN]
    reason = "Permission to send an SMS has not been enabled for the region (21408, request 5f43a1b2c3d4e5f6a7b8c9d0)"
    assert quote_reply(reason, sent) == reason
    assert len(quote_reply("x" * 9999, sent)) == MAX_QUOTED_CHARS


@pytest.mark.parametrize(
    "quoted",
    [
        "hunter22 hunter22",
        base64.b64encode(b"hunter22 hunter22").decode(),
        quote("hunter22 hunter22"),
        "x=hunter22 hunter22&y",
    ],
)
def test_a_secret_of_the_process_is_hidden_everywhere(quoted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", ())
    logs.hide_secrets("hunter22 hunter22", "short")
    for text in (quote_reply(quoted), logs.clean(f"({quoted})")):
        assert "hunter22" not in text
        assert quoted.rstrip("=") not in text
    assert logs.clean("short") == "short"


@pytest.mark.parametrize(
    "quoted",
    [
        "Authorization: sekret-credential",
        "authorization:Basic QUMwMDAwMDp0d2lsaW8=",
        '{"Authorization": "Token sekret-credential"}',
        "X-Api-Key: sekret-credential",
        "Set-Cookie: sid=sekret-credential",
        "Bearer%20sekret-credential",
    ],
)
def test_a_quoted_header_loses_its_credential(quoted: str) -> None:
    cleaned = logs.clean(f"we got {quoted} and refuse")
    assert "sekret" not in cleaned
    assert "QUMw" not in cleaned
    assert cleaned.endswith(" refuse")
