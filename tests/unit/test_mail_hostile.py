"""A hostile mail is read within bounds of time and size, and raises nothing but that it cannot be read."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.mail.mail_body import MAX_TEXT_BYTES
from pipeline_engine.domain.mail.parsed_mail import parse_mail
from pipeline_engine.errors import Permanent
from tests.support.mails import SAMPLES, delivery_report, mail

HTML = "Content-Type: text/html; charset=utf-8"
MAX_SECONDS = 10
"""On a busy machine; most take milliseconds."""


def nested(depth: int, kind: str) -> bytes:
    parts = "".join(f'--b{n}\r\nContent-Type: {kind}; boundary="b{n + 1}"\r\n\r\n' for n in range(depth))
    return mail('Content-Type: multipart/mixed; boundary="b0"', body=parts + "deep")


HOSTILE = {
    "multiparts in multiparts": nested(5_000, "multipart/mixed"),
    "a hundred multiparts": nested(98, "multipart/mixed"),
    "mails in mails": mail("Content-Type: message/rfc822", body="Content-Type: message/rfc822\r\n\r\n" * 20_000),
    "nested comments": mail("To: " + "(" * 15_000),
    "many addresses": mail("To: " + "a@x.example, " * 200_000),
    "encoded words": mail("Subject: " + "=?utf-8?q?" * 50_000),
    "a long header": mail("X-Any: " + "a" * 2_000_000, "References: " + "<a@x> " * 200_000),
    "a header that never ends": mail("Subject: a" + "\r\n a" * 200_000),
    "many headers": mail(*(f"X-{n}: a" for n in range(100_000))),
    "one long line": mail(body="a" * 5_000_000),
    "a line of one sign": mail(body=" " * 1_000_000 + "x"),
    "attributions": mail(body="On 1 1 1 1 " + ("1 wrote " * 100) + "\n" + "On 1 wrote " * 40_000),
    "many attributions": mail(body=("On " + "1 " * 240 + "\n") * 3_000),
    "wrote": mail(body=("wrote " * 80 + "\n") * 3_000),
    "dividers": mail(body="_" * 1_000_000 + "\n" + "-----" * 100_000),
    "headers in the text": mail(body="From: a\n" * 100_000),
    "open tags": mail(HTML, body="<div>" * 200_000),
    "open brackets": mail(HTML, body="<" * 1_000_000),
    "open comments": mail(HTML, body="<!--" * 200_000),
    "nested tables": mail(HTML, body="<table><tr><td>" * 50_000 + "x"),
    "wide padding": mail(HTML, body='<div style="padding-left: 999999999em">x</div>' * 10_000),
    "nested quotes": mail(HTML, body="<blockquote>" * 250 + "x<br>" * 100_000),
    "an odd charset": mail("Content-Type: text/plain; charset=punycode", body="a-" * 100_000),
    "an unknown charset": mail("Content-Type: text/plain; charset=\0x; charset*=a'b'c", body="\xff\xfe"),
    "a codec that is no charset": mail("Content-Type: text/plain; charset=zip", body="x"),
    "broken base64": mail("Content-Transfer-Encoding: base64", body="====" * 100_000),
    "broken uuencode": mail("Content-Transfer-Encoding: x-uuencode", body="begin 666 a\n" + "\xff" * 100_000),
    "a bounce of one line": mail(
        "From: mailer-daemon@x.example", body="the following addresses had\n" + "a@" * 500_000
    ),
    "a bounce of many lines": mail("Return-Path: <>", body="failed addresses follow:\n" + ("a" * 190 + "\n") * 5_000),
    "many recipients": delivery_report("a@x.example", "<1@x>", more="\r\nFinal-Recipient: rfc822; b@x\r\n" * 100_000),
    "a date of no time": mail("Date: " + "9" * 100_000),
    "a date beyond": mail("Date: Mon, 05 Oct 99999 12:00:00 +9999"),
    "no addresses": mail("From: ;;;<>,,,@", "To: undisclosed-recipients:;"),
    "bytes": mail() + bytes(range(256)) * 1_000,
}


@pytest.mark.covers("CL-14")
@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_read_within_bounds(name: str) -> None:
    started = time.monotonic()
    one = parse_mail(HOSTILE[name])

    assert time.monotonic() - started < MAX_SECONDS
    assert len(one.text.encode()) <= MAX_TEXT_BYTES
    assert len(one.reply_text) <= MAX_TEXT_BYTES
    assert len(one.references) <= 200
    assert len(one.bounces) <= 100


@pytest.mark.parametrize("raw", [b"", b"\0" * 100, b"no headers\r\n\r\nbody", "päckchen".encode("utf-16")])
def test_what_has_no_headers_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(Permanent) as caught:
        parse_mail(raw)
    assert caught.value.code == "unreadable_mail"


@given(st.binary(max_size=2_000))
def test_any_bytes_after_a_header(raw: bytes) -> None:
    one = parse_mail(b"Subject: x\r\n" + raw)
    assert one.message_id.startswith("<")


def test_broken_samples() -> None:
    """Every sample, cut or with bytes changed, is read."""
    dice = random.Random(15)  # noqa: S311
    for file in sorted((SAMPLES / "bounces").iterdir()):
        raw = bytearray(b"X-Any: a\n" + file.read_bytes())
        for _ in range(5):
            for _ in range(20):
                raw[dice.randrange(9, len(raw))] = dice.choice(b'\0<>;:=?"\n \xff')
            assert parse_mail(bytes(raw[: dice.randrange(10, len(raw))])).message_id
