"""Single parts: stopped, started again, paused, refused; and the sinks' behaviour."""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import socketio
from pymongo import MongoClient
from redis.asyncio import Redis as RedisClient
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pipeline_engine.embedded.imap import Imap
from pipeline_engine.embedded.mongo import Mongo
from pipeline_engine.embedded.program import PortTaken, Program
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.embedded.s3 import S3
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.errors import ConfigError, Unreachable
from pipeline_engine.providers.mailbox_server import MailboxLogin, MailboxServer
from pipeline_engine.providers.mailboxes import Mailboxes

MAIL = "Subject: hello\r\n\r\n.a line with a dot in front\r\n"


async def test_redis_stops_and_comes_back_with_its_data(own_redis: Redis) -> None:
    async with RedisClient.from_url(own_redis.url) as client:
        await client.set("kept", "yes")
        await own_redis.stop()
        assert not own_redis.program.running
        with pytest.raises(RedisConnectionError):
            await client.get("kept")
        await own_redis.start()
        assert await client.get("kept") == b"yes"


async def test_a_paused_redis_hangs_and_goes_on(own_redis: Redis) -> None:
    async with RedisClient.from_url(own_redis.url, socket_timeout=0.2) as client:
        assert await client.ping()
        own_redis.program.pause()
        with pytest.raises(RedisTimeoutError):
            await client.ping()
        own_redis.program.resume()
        assert await client.ping()


async def test_a_paused_redis_can_be_stopped(own_redis: Redis) -> None:
    own_redis.program.pause()
    await own_redis.stop()
    assert not own_redis.program.running


async def test_mongo_stops_and_comes_back_with_its_data(own_mongo: Mongo) -> None:
    with MongoClient[dict[str, Any]](own_mongo.url) as client:
        client.crm["deals"].insert_one({"_id": 1})
        await own_mongo.stop()
        await own_mongo.start()
        assert client.crm["deals"].find_one() == {"_id": 1}


@pytest.mark.parametrize("part", [Mongo, Redis, S3])
async def test_a_taken_port_is_recognised(part: type[Mongo] | type[Redis] | type[S3], tmp_path: Path) -> None:
    server = part(tmp_path)
    port = server.ports["s3"] if isinstance(server, S3) else server.port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken):
        await server.start()
    await server.stop(patience=0)


async def test_a_mongod_without_libcurl_is_explained(tmp_path: Path) -> None:
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho mongod: error while loading shared libraries: libcurl.so.4 >&2\nexit 127\n")
    program.chmod(0o755)
    mongo = Mongo(tmp_path)
    mongo.executable = program
    with pytest.raises(ConfigError, match="apt-get install -y libcurl4"):
        await mongo.start()


async def test_a_program_that_ends_says_why(tmp_path: Path) -> None:
    program = Program("odd", tmp_path / "odd.log")
    program.start(["/bin/sh", "-c", "echo no such option; exit 3"], {}, tmp_path)
    with pytest.raises(Unreachable, match=r"odd ended at once \(exit code 3\)\. no such option"):
        await program.until_ready(_refused, OSError)


async def test_a_program_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    program = Program("odd", tmp_path / "odd.log")
    program.start(["/bin/sleep", "60"], {}, tmp_path)
    with pytest.raises(Unreachable, match=r"odd is not ready after 0\.1 s: OSError"):
        await program.until_ready(_refused, OSError, patience=0.1)
    await program.stop(patience=0)
    assert not program.running


async def _refused() -> None:
    raise OSError("not yet")


@pytest.fixture
async def sockets(servers: dict[str, str]) -> AsyncIterator[Sink]:
    sink = Sink(servers["SOCKET_SINK_URL"])
    await sink.clear()
    yield sink
    await sink.clear()


@pytest.fixture
async def mails(servers: dict[str, str]) -> AsyncIterator[Sink]:
    sink = Sink(servers["SMTP_SINK_URL"])
    await sink.clear()
    yield sink
    await sink.clear()


async def connected(url: str) -> socketio.AsyncClient:
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(url, auth={"token": "abc"})
    return client


async def test_an_event_is_acknowledged_and_kept(servers: dict[str, str], sockets: Sink) -> None:
    client = await connected(servers["SOCKET_URL"])
    await client.call("process_deals", {"event_id": "1", "user_ids": ["u"]}, timeout=5)
    await client.disconnect()
    assert await sockets.records(event="process_deals") == [
        {"event": "process_deals", "payload": {"event_id": "1", "user_ids": ["u"]}, "auth": {"token": "abc"}}
    ]


async def test_a_silent_service_keeps_the_event(servers: dict[str, str], sockets: Sink) -> None:
    await sockets.behave(silent=True)
    client = await connected(servers["SOCKET_URL"])
    with pytest.raises(socketio.exceptions.TimeoutError):
        await client.call("import_finished", {}, timeout=0.2)
    await client.disconnect()
    assert len(await sockets.wait_for(1, event="import_finished")) == 1


async def test_a_refusing_service_lets_no_client_in(servers: dict[str, str], sockets: Sink) -> None:
    await sockets.behave(refuse="token expired")
    with pytest.raises(socketio.exceptions.ConnectionError, match="failed to connect"):
        await connected(servers["SOCKET_URL"])
    assert await sockets.records() == [{"event": "connect", "auth": {"token": "abc"}, "accepted": False}]


async def test_an_unknown_wish_is_refused(sockets: Sink) -> None:
    with pytest.raises(ValueError, match="loud"):
        await sockets.behave(loud=True)


async def test_waiting_for_what_does_not_come_ends(sockets: Sink) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 records"):
        await sockets.wait_for(1, patience=0.1)


def send(url: str, *recipients: str) -> dict[str, tuple[int, bytes]]:
    server = urlsplit(url)
    with smtplib.SMTP(server.hostname or "", server.port or 0, timeout=5) as client:
        return client.sendmail("crm@example.com", recipients, MAIL)


async def test_a_mail_is_kept_as_it_came(servers: dict[str, str], mails: Sink) -> None:
    await asyncio.to_thread(send, servers["SMTP_URL"], "a@example.com")
    assert await mails.records() == [
        {"sender": "crm@example.com", "recipients": ["a@example.com"], "message": MAIL, "answer": "250 OK"}
    ]


async def test_answers_are_used_up_one_by_one(servers: dict[str, str], mails: Sink) -> None:
    await mails.behave(messages=["451 4.7.1 later"])
    with pytest.raises(smtplib.SMTPDataError, match=r"4\.7\.1 later"):
        await asyncio.to_thread(send, servers["SMTP_URL"], "a@example.com")
    await asyncio.to_thread(send, servers["SMTP_URL"], "a@example.com")
    assert [record["answer"] for record in await mails.records()] == ["451 4.7.1 later", "250 OK"]


async def test_a_recipient_can_be_refused(servers: dict[str, str], mails: Sink) -> None:
    await mails.behave(recipients=["550 5.1.1 nobody here"])
    refused = await asyncio.to_thread(send, servers["SMTP_URL"], "a@example.com", "b@example.com")
    assert refused == {"a@example.com": (550, b"5.1.1 nobody here")}
    assert [record["recipients"] for record in await mails.records()] == [["b@example.com"]]


async def test_a_mail_without_an_answer_is_kept(servers: dict[str, str], mails: Sink) -> None:
    await mails.behave(messages=["cut"])
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await asyncio.to_thread(send, servers["SMTP_URL"], "a@example.com")
    assert len(await mails.records(answer="cut")) == 1


async def test_the_mailbox_is_read_as_any_other() -> None:
    part = Imap()
    await part.start()
    url = urlsplit(part.environment()["IMAP_URL"])
    server = MailboxServer(url.hostname or "", url.port or 0, "none", unquote(url.username or ""))
    async with (
        Mailboxes(allow_private=True, ca_file=None, timeout=5) as mailboxes,
        mailboxes.open(server, MailboxLogin(password=url.password or "")) as mailbox,
    ):
        assert [folder.name for folder in await mailbox.folders()] == ["INBOX"]
        await mailbox.append("INBOX", MAIL.encode())
        status = await mailbox.open("INBOX")
        (uid,) = await mailbox.search([(1, 1000)])
        assert (status.messages, status.uidnext) == (1, uid + 1)
        assert await mailbox.bodies([uid], 1000) == {uid: MAIL.encode()}
    await part.stop()
