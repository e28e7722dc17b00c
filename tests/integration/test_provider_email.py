from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from email import message_from_bytes, policy

import pytest

from pipeline_engine import failpoints
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.errors import ConfigError, EngineError, Permanent, Transient, Unknown
from pipeline_engine.providers.email import Mailer
from pipeline_engine.providers.email_message import Mail
from tests.support.proxy import Proxy
from tests.support.stand_ins.scripted_smtp import CUT, HANG, ScriptedSmtp

SENDER = "Sales <sales@crm.example>"
MAIL = Mail("john@acme.com", "Hello", "Hi John", "<p>Hi John</p>")


@pytest.fixture
async def sink(servers: dict[str, str]) -> AsyncIterator[Sink]:
    sink = Sink(servers["SMTP_SINK_URL"])
    await sink.clear()
    yield sink
    await sink.clear()


@pytest.fixture
async def proxy(servers: dict[str, str]) -> AsyncIterator[Proxy]:
    async with Proxy.before(servers["SMTP_URL"]) as proxy:
        yield proxy


@pytest.fixture
async def mailer(servers: dict[str, str], proxy: Proxy) -> AsyncIterator[Mailer]:
    """To the embedded sink, through the proxy."""
    async with Mailer(proxy.instead_of(servers["SMTP_URL"]), SENDER) as mailer:
        yield mailer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as server:
        yield server


@pytest.fixture
async def scripted(server: ScriptedSmtp) -> AsyncIterator[Mailer]:
    """To the scripted server."""
    async with Mailer(server.url, SENDER) as mailer:
        yield mailer


@pytest.fixture
async def hasty(server: ScriptedSmtp) -> AsyncIterator[Mailer]:
    """To the scripted server, of which an answer may take two seconds."""
    async with Mailer(server.url, SENDER, timeout=2) as mailer:
        yield mailer


@pytest.mark.covers("R-14")
async def test_a_mail_arrives_as_it_was_written(mailer: Mailer, sink: Sink) -> None:
    message_id = await mailer.send(MAIL, "aut:deal:0")
    (record,) = await sink.records()
    assert record["sender"] == "sales@crm.example"
    assert record["recipients"] == ["john@acme.com"]
    message = message_from_bytes(record["message"].encode("latin-1"), policy=policy.default)
    assert message["Message-ID"] == message_id == "<aut.deal.0@crm.example>"
    assert message["From"] == SENDER
    assert message["Auto-Submitted"] == "auto-generated"


async def test_every_attempt_of_a_unit_has_the_same_message_id(mailer: Mailer) -> None:
    assert await mailer.send(MAIL, "a:b:0") == await mailer.send(MAIL, "a:b:0")
    assert await mailer.send(MAIL, "a:b:0") != await mailer.send(MAIL, "a:b:1")


async def test_hostile_content_stays_one_mail_to_one_address(scripted: Mailer, server: ScriptedSmtp) -> None:
    lines = "a\n.\r\nQUIT\n.\nMAIL FROM:<evil@x.co>\r.\r\n..\n\r\n.\r\n"
    await scripted.send(Mail("john@acme.com", "Hello", lines, f"<pre>{lines}</pre>"), "a:b:0")
    await scripted.send(MAIL, "a:b:1")
    assert server.steps.count("MAIL") == server.steps.count("RCPT") == len(server.messages) == 2
    body = server.messages[0].removesuffix(b"\r\n.\r\n")
    assert b"\n.\r" not in body
    assert body.count(b"\n") == body.count(b"\r") == body.count(b"\r\n")


@pytest.mark.parametrize("to", ["a@b.co,c@d.co", "a@b.co\r\nBcc: c@d.co", "a b@c.co", "<a@b.co>", ""])
async def test_there_is_exactly_one_recipient(scripted: Mailer, server: ScriptedSmtp, to: str) -> None:
    with pytest.raises(Permanent):
        await scripted.send(Mail(to, "Hello", "Hi"), "a:b:0")
    assert not server.steps


async def test_a_connection_is_kept_for_the_next_mail(mailer: Mailer, proxy: Proxy) -> None:
    for n in range(5):
        await mailer.send(MAIL, f"a:b:{n}")
    assert proxy.accepted == 1


async def test_there_are_never_more_connections_than_allowed(server: ScriptedSmtp) -> None:
    async with Mailer(server.url, SENDER, connections=3) as mailer:
        await asyncio.gather(*(mailer.send(MAIL, f"a:b:{n}") for n in range(50)))
    assert len(server.messages) == 50
    assert 1 <= server.most_open == server.connections <= 3
    assert server.steps.count("QUIT") == server.connections


async def test_a_server_that_hung_up_meanwhile_costs_nothing(mailer: Mailer, proxy: Proxy, sink: Sink) -> None:
    await mailer.send(MAIL, "a:b:0")
    await proxy.cut()
    await mailer.send(MAIL, "a:b:1")
    assert len(await sink.records()) == proxy.accepted == 2


@pytest.mark.parametrize("answer", ["421 too many mails on this connection", CUT])
async def test_a_server_that_is_tired_of_a_connection_gets_a_new_one(
    scripted: Mailer, server: ScriptedSmtp, answer: str
) -> None:
    await scripted.send(MAIL, "a:b:0")
    server.script["MAIL"].append(answer)
    await scripted.send(MAIL, "a:b:1")
    assert len(server.messages) == server.connections == 2


@pytest.mark.parametrize("where", ["recipients", "messages"])
@pytest.mark.parametrize(
    ("answer", "error"), [("550 5.1.1 no such user", Permanent), ("451 4.7.1 come back later", Transient)]
)
async def test_a_refusal_is_reported_in_the_server_s_words_and_harms_no_other_mail(
    mailer: Mailer, proxy: Proxy, sink: Sink, where: str, answer: str, error: type[EngineError]
) -> None:
    await sink.behave(**{where: [answer]})
    with pytest.raises(error, match=answer):
        await mailer.send(MAIL, "a:b:0")
    await mailer.send(MAIL, "a:b:1")
    assert len(await sink.records(answer="250 OK")) == 1
    assert proxy.accepted == 1


async def test_no_answer_to_a_whole_mail_is_unknown(mailer: Mailer, sink: Sink) -> None:
    await sink.behave(messages=["cut"])
    with pytest.raises(Unknown, match="had the mail and did not answer"):
        await mailer.send(MAIL, "a:b:0")
    assert len(await sink.records()) == 1  # it was out


@pytest.mark.parametrize("trouble", [CUT, HANG])
@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("greeting", Transient),
        ("EHLO", Transient),
        ("MAIL", Transient),
        ("RCPT", Transient),
        ("DATA", Unknown),
        (".", Unknown),
    ],
)
async def test_a_server_that_fails_at_any_step(
    scripted: Mailer, hasty: Mailer, server: ScriptedSmtp, step: str, error: type[EngineError], trouble: str
) -> None:
    # Both for EHLO: where it is refused, HELO is tried.
    mailer = hasty if trouble == HANG else scripted
    server.script[step].append(trouble)
    with pytest.raises(error):
        await mailer.send(MAIL, "a:b:0")
    await mailer.send(MAIL, "a:b:1")  # on a new connection
    assert server.connections == 2


@pytest.mark.parametrize("step", ["greeting", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(("answer", "error"), [("554 5.7.1 no", Permanent), ("452 4.3.1 full", Transient)])
async def test_a_clear_no_at_any_step(
    scripted: Mailer, server: ScriptedSmtp, step: str, answer: str, error: type[EngineError]
) -> None:
    server.script[step].append(answer)
    with pytest.raises(error, match=answer):
        await scripted.send(MAIL, "a:b:0")


@pytest.mark.parametrize("answer", ["nonsense", "299 what", "250"])
async def test_an_answer_that_cannot_be_understood_is_unknown_or_done(
    scripted: Mailer, server: ScriptedSmtp, answer: str
) -> None:
    server.script["."].append(answer)
    if answer == "250":
        await scripted.send(MAIL, "a:b:0")
    else:
        with pytest.raises(Unknown):
            await scripted.send(MAIL, "a:b:0")


async def test_a_send_that_is_cancelled_gives_up_its_connection(scripted: Mailer, server: ScriptedSmtp) -> None:
    server.script["."].append(HANG)
    sending = asyncio.create_task(scripted.send(MAIL, "a:b:0"))
    await server.reached["."].wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await scripted.send(MAIL, "a:b:1")
    assert server.connections == 2


async def test_a_server_that_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Mailer(f"smtp://127.0.0.1:{port}", SENDER) as mailer:
        with pytest.raises(Transient, match="the mail server is away"):
            await mailer.send(MAIL, "a:b:0")


@pytest.mark.parametrize(
    ("url", "sender", "named"), [(None, SENDER, "SMTP_URL"), ("", None, "SMTP_URL"), ("smtp://h", None, "SMTP_FROM")]
)
async def test_what_is_not_set_is_named(url: str | None, sender: str | None, named: str) -> None:
    async with Mailer(url, sender) as mailer:
        with pytest.raises(Permanent, match=f"{named} is not set"):
            await mailer.send(MAIL, "a:b:0")


def test_a_bad_setting_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="SMTP_URL"):
        Mailer("http://x", SENDER)
    with pytest.raises(ConfigError, match="SMTP_FROM"):
        Mailer("smtp://x", "not an address")


async def test_nothing_is_said_in_the_clear_where_tls_is_asked_for(server: ScriptedSmtp) -> None:
    url = server.url.replace("smtp://", "smtp+starttls://user:hidden@")
    async with Mailer(url, SENDER) as mailer:
        with pytest.raises(Permanent, match="STARTTLS"):
            await mailer.send(MAIL, "a:b:0")
    assert set(server.steps) <= {"greeting", "EHLO", "QUIT"}


async def test_a_wrong_password_is_permanent_and_not_shown(server: ScriptedSmtp) -> None:
    server.script["EHLO"].append("250-here\r\n250 AUTH PLAIN")
    server.script["AUTH"].append("535 5.7.8 wrong user or password")
    async with Mailer(server.url.replace("smtp://", "smtp://user:hidden@"), SENDER) as mailer:
        with pytest.raises(Permanent, match="535") as refused:
            await mailer.send(MAIL, "a:b:0")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("failpoint", "when", "error"),
    [("smtp.connect", "before", Transient), ("smtp.data", "before", Unknown), ("smtp.data", "after", Unknown)],
)
async def test_a_planned_fault_never_passes_for_not_sent(
    scripted: Mailer, failpoint: str, when: str, error: type[EngineError]
) -> None:
    failpoints.arm(f'{{"failpoint": "{failpoint}", "when": "{when}", "do": "raise"}}', None)
    try:
        with pytest.raises(error, match="planned fault"):
            await scripted.send(MAIL, "a:b:0")
    finally:
        failpoints.disarm()
