from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from pipeline_engine.errors import EngineError, Permanent, RateLimited, Transient, Unknown
from pipeline_engine.providers.sms import MAX_CHARS, Sms
from tests.support.stand_ins.stand_in import BreakOff, Hang, Misdeed, Say
from tests.support.stand_ins.twilio import FROM, SID, TOKEN, Twilio

TO = "+15551234567"


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        yield twilio


@pytest.fixture
async def sms(twilio: Twilio) -> AsyncIterator[Sms]:
    async with Sms(SID, TOKEN, FROM, twilio.url) as sms:
        yield sms


@pytest.fixture
async def hasty(twilio: Twilio) -> AsyncIterator[Sms]:
    """A sender of which a call may take two seconds."""
    async with Sms(SID, TOKEN, FROM, twilio.url, timeout=2) as sms:
        yield sms


async def test_a_message_is_sent_with_its_key(sms: Sms, twilio: Twilio) -> None:
    sid = await sms.send(TO, "Grüße & more", "a:b:0")
    (message,) = twilio.messages
    assert (message.sid, message.to, message.body, message.key) == (sid, TO, "Grüße & more", "a:b:0")


async def test_a_messaging_service_sends_in_place_of_a_number(twilio: Twilio) -> None:
    async with Sms(SID, TOKEN, "MG" + "0" * 32, twilio.url) as sms:
        await sms.send(TO, "Hi", "a:b:0")
    assert twilio.calls[0].content["MessagingServiceSid"] == "MG" + "0" * 32
    assert "From" not in twilio.calls[0].content


async def test_the_reason_of_twilio_is_shown(sms: Sms, twilio: Twilio) -> None:
    with pytest.raises(Permanent, match=r"twilio refuses: 400 Invalid 'To' Phone Number: 12"):
        await sms.send("12", "Hi", "a:b:0")
    assert not twilio.messages


async def test_a_wrong_token_is_permanent_and_not_shown(twilio: Twilio) -> None:
    async with Sms(SID, "a wrong one", FROM, twilio.url) as sms:
        with pytest.raises(Permanent, match="401 Authenticate") as refused:
            await sms.send(TO, "Hi", "a:b:0")
    assert "a wrong one" not in str(refused.value)


async def test_a_limit_says_when_to_come_back(sms: Sms, twilio: Twilio) -> None:
    twilio.next.append(Say(429, {"code": 20429, "message": "Too Many Requests"}, {"Retry-After": "7"}))
    with pytest.raises(RateLimited) as limited:
        await sms.send(TO, "Hi", "a:b:0")
    assert limited.value.retry_after == 7
    assert not twilio.messages


@pytest.mark.parametrize("misdeed", [Say(500), Say(503), BreakOff(), Hang()])
async def test_what_may_have_been_sent_is_unknown(sms: Sms, hasty: Sms, twilio: Twilio, misdeed: Misdeed) -> None:
    sender = hasty if isinstance(misdeed, Hang) else sms
    twilio.next.append(misdeed)
    with pytest.raises(Unknown):
        await sender.send(TO, "Hi", "a:b:0")
    assert len(twilio.calls) == 1  # and was not tried again by the HTTP library
    await sender.send(TO, "Hi", "a:b:1")


async def test_a_provider_that_is_away_was_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Sms(SID, TOKEN, FROM, f"http://127.0.0.1:{port}") as sms:
        with pytest.raises(Transient, match="twilio is away"):
            await sms.send(TO, "Hi", "a:b:0")


async def test_a_connection_that_is_never_accepted_was_not_used() -> None:
    with socket.socket() as full:  # one place in its queue, and that is taken
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        places = [socket.socket() for _ in range(4)]
        for place in places:
            place.setblocking(False)
            place.connect_ex(("127.0.0.1", port))
        async with Sms(SID, TOKEN, FROM, f"http://127.0.0.1:{port}", timeout=0.6) as sms:
            with pytest.raises(Transient, match="twilio is away"):
                await sms.send(TO, "Hi", "a:b:0")
        for place in places:
            place.close()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((None, TOKEN, FROM), "TWILIO_ACCOUNT_SID not set"),
        ((SID, "", FROM), "TWILIO_AUTH_TOKEN not set"),
        ((None, None, None), "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM not set"),
    ],
)
async def test_what_is_not_set_is_named(given: tuple[str | None, str | None, str | None], named: str) -> None:
    async with Sms(*given) as sms:
        with pytest.raises(Permanent, match=named):
            await sms.send(TO, "Hi", "a:b:0")


@pytest.mark.parametrize("body", ["", "  \n", "x" * (MAX_CHARS + 1)])
async def test_a_message_that_cannot_be_sent_is_not_tried(sms: Sms, twilio: Twilio, body: str) -> None:
    with pytest.raises(Permanent):
        await sms.send(TO, body, "a:b:0")
    assert not twilio.calls


async def test_a_redirect_is_not_followed(sms: Sms, twilio: Twilio) -> None:
    twilio.next.append(Say(307, {}, {"Location": f"{twilio.url}/elsewhere"}))
    with pytest.raises(Permanent, match="307"):
        await sms.send(TO, "Hi", "a:b:0")
    assert len(twilio.calls) == 1


async def test_a_closed_sender_sends_nothing(twilio: Twilio) -> None:
    sms = Sms(SID, TOKEN, FROM, twilio.url)
    async with sms:
        pass
    with pytest.raises(Transient):
        await sms.send(TO, "Hi", "a:b:0")


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{", b"HTTP/1.1 201 OK\r\n\r\n" + b"x" * 10**6]
)
async def test_a_success_counts_even_if_its_body_breaks_off_or_never_ends(answer: bytes) -> None:
    assert await answered(answer) is None


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 2", b"SMTP here\r\n\r\n", b"HTTP/1.1 201 OK\r\n" + b"X: y\r\n" * 10**5]
)
async def test_an_answer_that_is_none_leaves_it_unknown(answer: bytes) -> None:
    with pytest.raises(EngineError) as failed:
        await answered(answer)
    assert isinstance(failed.value, Unknown)


async def answered(answer: bytes) -> str | None:
    """What a send comes to when the other side says just these bytes and hangs up."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server, Sms(SID, TOKEN, FROM, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as sms:
        return await sms.send(TO, "Hi", "a:b:0")
