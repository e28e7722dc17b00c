"""One mail is read as what it is: text, reply, auto-reply, bounce or complaint."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline_engine.domain.mail.delivery_report import Bounce
from pipeline_engine.domain.mail.mail_address import MailAddress
from pipeline_engine.domain.mail.parsed_mail import parse_mail
from tests.support.mails import complaint, delivery_report, mail, read_receipt


def test_headers_are_decoded() -> None:
    one = parse_mail(
        mail(
            "Message-ID: <1@x>",
            "Date: Mon, 05 Oct 2026 12:00:00 +0200",
            "In-Reply-To: your mail of <0@x>",
            "References: <a@x>\r\n <0@x> <a@x>",
            "From: =?utf-8?q?M=C3=BCller=2C_Ada?= <Ada@Example.com>",
            "To: a@x.example, =?utf-8?b?QsO2Yg==?= <b@x.example>",
            "Subject: =?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?q?_an_alle?=",
            "List-Unsubscribe: <https://x.example/u>",
        )
    )
    assert (one.message_id, one.in_reply_to, one.references) == ("<1@x>", "<0@x>", ("<a@x>", "<0@x>"))
    assert one.from_ == MailAddress("ada@example.com", "Müller, Ada")
    assert one.to == (MailAddress("a@x.example"), MailAddress("b@x.example", "Böb"))
    assert (one.subject, one.kind, one.list_unsubscribe) == ("Grüße an alle", "message", "<https://x.example/u>")
    assert one.date == datetime(2026, 10, 5, 10, tzinfo=UTC)


def test_a_mail_without_message_id_has_one_that_follows_from_its_bytes() -> None:
    one, same, other = parse_mail(mail()), parse_mail(mail("Message-ID: broken")), parse_mail(mail(body="else"))
    assert one.message_id == parse_mail(mail()).message_id
    assert len({one.message_id, same.message_id, other.message_id}) == 3
    assert all(found.message_id.endswith("@missing.invalid>") for found in (one, same, other))


def test_html_is_made_readable_where_there_is_no_text() -> None:
    html = """<html><head><style>p {x}</style><title>no</title></head><body><div>Yes,&nbsp;we&#39;d like
      <b>two</b>.</div><p style="display:none">unseen</p><ul><li>one<li>two</ul><div class="gmail_quote">
      <div class="gmail_attr">On Mon, Oct 5, 2026 at 9:00 AM Bob &lt;bob@example.com&gt; wrote:<br></div>
      <blockquote class="gmail_quote"><p>How many?</p></blockquote></div></body></html>"""
    one = parse_mail(mail("Content-Type: text/html; charset=utf-8", body=html))
    assert one.reply_text == "Yes, we'd like two.\n\n- one\n- two"
    assert "> How many?" in one.text
    assert "unseen" not in one.text


def test_a_text_part_is_preferred_and_attachments_are_left_out() -> None:
    body = (
        '--b\r\nContent-Type: multipart/alternative; boundary="c"\r\n\r\n'
        "--c\r\nContent-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "Gr=FC=DFe\r\n"
        "--c\r\nContent-Type: text/html\r\n\r\n<b>Other</b>\r\n--c--\r\n"
        "--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nattached\r\n--b--"
    )
    assert parse_mail(mail('Content-Type: multipart/mixed; boundary="b"', body=body)).text == "Grüße"


@pytest.mark.covers("R-13")
@pytest.mark.parametrize(
    "headers",
    [
        ["Auto-Submitted: auto-replied"],
        ["Auto-Submitted: auto-replied (vacation)"],
        ["Auto-Submitted: auto-generated; owner-email=a@x"],
        ["X-Autoreply: yes"],
        ["X-Autorespond: re"],
        ["X-Auto-Reply-From: a@x"],
        ["Precedence: auto_reply"],
        ["Precedence: bulk"],
        ["Return-Path: <>"],
        ["Subject: Automatic reply: Offer"],
        ["Subject: Out of Office: Offer"],
        ["Subject: =?utf-8?q?Automatische_Antwort=3A_Angebot?="],
        ["Subject: Abwesenheitsnotiz"],
        ["Subject: =?utf-8?q?R=C3=A9ponse_automatique_=3A_Offre?="],
        ["Subject: Respuesta =?utf-8?q?autom=C3=A1tica?=: Oferta"],
        ["X-Auto-Response-Suppress: All", "From: noreply@example.com"],
    ],
)
def test_an_automatic_reply_is_no_message(headers: list[str]) -> None:
    assert parse_mail(mail("In-Reply-To: <1@x>", *headers)).kind == "auto_reply"


@pytest.mark.covers("R-13")
@pytest.mark.parametrize(
    "headers",
    [
        ["Auto-Submitted: no"],
        ["Return-Path: <ada@example.com>"],
        ["Subject: Re: Automatic doors"],
        ["Subject: Office move"],
        ["Precedence: list"],
        ["X-Auto-Response-Suppress: DR, OOF, AutoReply"],
    ],
)
def test_a_person_wrote_this(headers: list[str]) -> None:
    assert parse_mail(mail("In-Reply-To: <1@x>", *headers)).kind == "message"


@pytest.mark.covers("R-12")
@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({}, ("hard", "5.1.1")),
        ({"status": "5.0.0", "more": "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"}, ("hard", "5.1.1")),
        ({"status": "5.2.2"}, ("soft", "5.2.2")),
        ({"status": "5.7.1"}, ("soft", "5.7.1")),
        ({"status": "4.4.1", "action": "delayed"}, ("soft", "4.4.1")),
        ({"status": "4.4.7"}, ("soft", "4.4.7")),
        ({"status": "5.0.0", "more": "Diagnostic-Code: smtp; 552 Mailbox full\r\n"}, ("soft", "5.0.0")),
        ({"status": "", "more": "Diagnostic-Code: smtp; 550 no\r\n"}, ("hard", "550")),
    ],
)
def test_a_delivery_report_is_a_bounce(report: dict[str, str], expected: tuple[str, str]) -> None:
    one = parse_mail(delivery_report("Bob@Example.com", "<1@x>", **report))
    assert (one.kind, one.original_message_ids) == ("bounce", ("<1@x>",))
    assert one.bounces == (Bounce("bob@example.com", *expected),)  # type: ignore[arg-type]


def test_a_report_of_a_delivery_is_no_bounce() -> None:
    one = parse_mail(delivery_report("bob@example.com", "<1@x>", action="delivered", status="2.0.0"))
    assert (one.kind, one.bounces) == ("auto_reply", ())


@pytest.mark.covers("R-13")
@pytest.mark.parametrize("disposition", ["manual-action/MDN-sent-manually; displayed", "automatic-action; deleted"])
def test_a_read_receipt_is_no_reply(disposition: str) -> None:
    one = parse_mail(read_receipt("<1@x>", disposition))
    assert (one.kind, one.in_reply_to, one.original_message_ids) == ("auto_reply", "<1@x>", ("<1@x>",))


@pytest.mark.covers("R-12")
def test_a_complaint_names_who_complained_and_about_what() -> None:
    named, unnamed = parse_mail(complaint("<1@x>", "Bob@example.com")), parse_mail(complaint("<1@x>"))
    assert (named.kind, named.complainants, named.original_message_ids) == (
        "complaint",
        ("bob@example.com",),
        ("<1@x>",),
    )
    assert (unnamed.kind, unnamed.complainants, unnamed.original_message_ids) == ("complaint", (), ("<1@x>",))


def test_a_reply_that_talks_about_delivery_is_no_bounce() -> None:
    body = "Your message could not be delivered to my boss.\n\nBob\n<bob@example.com>: 550 no"
    assert parse_mail(mail("In-Reply-To: <1@x>", "Subject: Re: Delivery of the chairs", body=body)).kind == "message"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (["Subject: Fwd: Offer"], "", True),
        (["Subject: WG: Angebot"], "", True),
        (["Subject: Re: Fwd: Offer"], "---------- Forwarded message ---------", False),
        (["Subject: Offer"], "See below\n\nBegin forwarded message:\n", True),
        (["Subject: Offer"], "Hello", False),
    ],
)
def test_forwards(headers: list[str], body: str, expected: bool) -> None:
    assert parse_mail(mail(*headers, body=body)).is_forward is expected
