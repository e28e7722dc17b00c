from __future__ import annotations

import pytest

from pipeline_engine.errors import ConfigError
from pipeline_engine.providers.smtp_server import Sender, SmtpServer, read_sender, read_smtp_url


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", None, None, None, tls=False, starttls=False)),
        ("smtp://127.0.0.1:2525", SmtpServer("127.0.0.1", 2525, None, None, tls=False, starttls=False)),
        ("smtps://u:p@mail.example:465", SmtpServer("mail.example", 465, "u", "p", tls=True, starttls=False)),
        (
            "smtp+starttls://me%40x.co:p%2F%3A%40@mail.example",
            SmtpServer("mail.example", None, "me@x.co", "p/:@", tls=False, starttls=True),
        ),
    ],
)
def test_a_url_is_read(url: str, server: SmtpServer) -> None:
    assert read_smtp_url(url) == server


@pytest.mark.parametrize(
    "url", ["http://secret@mail", "mail.example:25", "smtp://", "smtp://h:port", "smtp://h:99999", "smtp://[::1"]
)
def test_a_bad_url_is_named_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"SMTP_URL: given \(not shown\): ") as refused:
        read_smtp_url(url)
    assert "secret" not in str(refused.value)


def test_a_password_is_not_printed() -> None:
    assert "hidden" not in repr(read_smtp_url("smtp://u:hidden@mail.example"))


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("sales@crm.example", Sender("sales@crm.example", "sales@crm.example")),
        ("Sales, Inc. <sales@crm.example>", None),
        ('"Sales, Inc." <sales@crm.example>', Sender("sales@crm.example", '"Sales, Inc." <sales@crm.example>')),
        ("Bücher <a@bücher.de>", Sender("a@xn--bcher-kva.de", "=?utf-8?q?B=C3=BCcher?= <a@xn--bcher-kva.de>")),
    ],
)
def test_a_sender_is_read(text: str, sender: Sender | None) -> None:
    if sender is None:
        with pytest.raises(ConfigError, match="SMTP_FROM: given"):
            read_sender(text)
    else:
        assert read_sender(text) == sender


def test_a_sender_has_a_domain() -> None:
    assert read_sender("Sales <sales@crm.example>").domain == "crm.example"
