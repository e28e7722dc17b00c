from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_message import MAX_HEADER_CHARS, Mail, write_message

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FROM, ID = "Sales <sales@crm.example>", "<a.b.0@crm.example>"
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"]
FORMS = ["Content-Type", "Content-Transfer-Encoding"]


def written(**changes: str | tuple[str, ...] | None) -> bytes:
    given: dict[str, str | tuple[str, ...] | None] = {
        "to": "john@acme.com",
        "subject": "Hello",
        "text": "Hi",
        **changes,
    }
    return write_message(Mail(**given), FROM, ID, NOW)  # type: ignore[arg-type]


def parsed(message: bytes) -> EmailMessage:
    found = message_from_bytes(message, policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def content(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n").rstrip()


def test_a_mail_has_its_headers_and_a_part_for_every_reader() -> None:
    mail = parsed(written(subject="Grüße aus Köln", text="Hi John,\nüber uns", html="<p>Hi <b>John</b></p>"))
    assert mail.keys() == [*HEADERS, "Content-Type"]
    assert mail["From"] == FROM
    assert mail["To"] == "john@acme.com"
    assert mail["Subject"] == "Grüße aus Köln"
    assert mail["Message-ID"] == ID
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == NOW
    assert mail.get_content_type() == "multipart/alternative"
    assert content(mail, "plain") == "Hi John,\nüber uns"
    assert content(mail, "html") == "<p>Hi <b>John</b></p>"


def test_without_html_it_is_plain_text() -> None:
    mail = parsed(written(text="only this"))
    assert mail.get_content_type() == "text/plain"
    assert content(mail, "plain") == "only this"


def test_a_follow_up_names_its_thread_and_where_answers_go() -> None:
    mail = parsed(written(reply_to="ann@crm.example", in_reply_to="<b@x>", references=("<a@x>", "<b@x>")))
    assert (mail["Reply-To"], mail["In-Reply-To"], mail["References"]) == ("ann@crm.example", "<b@x>", "<a@x> <b@x>")


def test_a_long_thread_keeps_its_first_and_last_references() -> None:
    thread = tuple(f"<{number:0>40}@x>" for number in range(100))
    kept = parsed(written(references=thread))["References"].split()
    assert kept[0] == thread[0]
    assert tuple(kept[1:]) == thread[-len(kept) + 1 :]
    assert len(" ".join(kept)) <= MAX_HEADER_CHARS


@pytest.mark.covers("R-06")
def test_an_unsubscribe_address_by_http_also_takes_a_post() -> None:
    mail = parsed(written(unsubscribe=("https://crm.example/u/abc", "mailto:u@crm.example?subject=abc")))
    assert mail["List-Unsubscribe"] == "<https://crm.example/u/abc>, <mailto:u@crm.example?subject=abc>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "List-Unsubscribe-Post" not in parsed(written(unsubscribe=("mailto:u@crm.example",)))


@pytest.mark.covers("R-14")
def test_only_the_mail_of_a_person_is_not_marked_as_automatic() -> None:
    assert parsed(written())["Auto-Submitted"] == "auto-generated"
    assert "Auto-Submitted" not in parsed(written(auto_submitted=""))


@pytest.mark.parametrize("name", ["reply_to", "in_reply_to", "auto_submitted"])
def test_no_optional_header_holds_a_line_break(name: str) -> None:
    with pytest.raises(Permanent, match="holds a line break"):
        written(**{name: "a\r\nBcc: x@y.co"})


@pytest.mark.parametrize(
    "bad", ["a\r\nBcc: x@y.co", "a\nb", "a\rb", "a\x00b", "a\x85b", "a\u2028b", "a\x1bb", "a\ud800b"]
)
def test_a_header_with_a_line_break_or_control_character_is_refused(bad: str) -> None:
    with pytest.raises(Permanent, match="Subject holds a line break"):
        written(subject=bad)
    if bad.isascii():
        with pytest.raises(Permanent, match="To holds a line break"):
            written(to=bad)
        with pytest.raises(Permanent, match="From holds a line break"):
            write_message(Mail("a@b.co", "s", "t"), bad, ID, NOW)


def test_a_header_that_is_too_long_is_refused() -> None:
    with pytest.raises(Permanent, match="longer than"):
        written(subject="x" * (MAX_HEADER_CHARS + 1))


def test_an_address_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(Permanent, match="To is not ASCII"):
        written(to="jürgen@b.de")


@pytest.mark.parametrize("how", ["q?a=0d=0aBcc:_evil=40y.co", "b?YQ0KQmNjOiBldmlsQHkuY28="])
def test_an_encoded_line_break_in_a_subject_stays_text(how: str) -> None:
    subject = f"=?utf-8?{how}?="
    message = written(subject=subject)
    assert b"\r\nBcc" not in message
    assert b"\nBcc" not in message
    mail = parsed(message)
    assert mail.keys() == [*HEADERS, *FORMS]
    assert mail["Subject"] == subject


@given(st.text(max_size=400))
def test_any_subject_arrives_as_it_is_or_is_refused(subject: str) -> None:
    try:
        message = written(subject=subject)
    except Permanent:
        return
    assert is_clean(message)
    mail = parsed(message)
    assert mail.keys() == [*HEADERS, *FORMS]
    assert "".join(str(mail["Subject"]).split()) == "".join(subject.split())


@given(text=st.text(max_size=2000), html=st.text(min_size=1, max_size=2000))
def test_any_text_stays_in_its_part(text: str, html: str) -> None:
    message = written(text=text, html=html)
    assert is_clean(message)
    mail = parsed(message)
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert content(mail, "plain") == as_read(text)
    assert content(mail, "html") == as_read(html)


def as_read(text: str) -> str:
    """Line ends of one kind, no control characters, nothing after the last word."""
    kept = "".join(letter for letter in text if letter in "\t\r\n" or (letter >= " " and letter != "\x7f"))
    return re.sub(r"\r\n?", "\n", kept).rstrip().encode(errors="replace").decode()


def is_clean(message: bytes) -> bool:
    """Plain ASCII, every CR and LF in a pair, no line beyond 998, no lone dot."""
    lines = message.split(b"\r\n")
    broken = any(b"\r" in line or b"\n" in line or line == b"." or len(line) > 998 for line in lines)
    return message.isascii() and b"\x00" not in message and not broken and message.endswith(b"\r\n")


def test_lone_dots_long_lines_and_bare_breaks_are_made_harmless() -> None:
    text = "first\n.\nQUIT\n..two\rbare\nlong " + "x" * 5000
    message = written(text=text)
    assert is_clean(message)
    assert content(parsed(message), "plain") == text.replace("\r", "\n")


def test_no_value_can_end_a_part_early() -> None:
    boundary = re.search(rb'boundary="([^"]+)"', written(html="<p>"))
    assert boundary
    assert len(boundary[1]) >= 32
    mail = parsed(written(text="--=_0\r\nContent-Type: text/html\r\n\r\n<script>", html="<p>x</p>"))
    assert len(list(mail.iter_parts())) == 2
