"""Logins, and servers that are not what they should be: what goes wrong with one mailbox stays with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.mailboxes import sweep
from pipeline_engine.domain.mailboxes.sync import FIRST_REST, run_sync
from pipeline_engine.domain.messages.open_mailbox import open_mailbox
from pipeline_engine.domain.messages.sent_copy import keep_copy
from pipeline_engine.embedded.ports import listen
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.lanes import Snooze
from pipeline_engine.repos.mailbox_repos import MailboxRepos
from pipeline_engine.settings import Settings
from tests.support.credentials import credential, of
from tests.support.dovecot import Dovecot, start_dovecot
from tests.support.engine_app import EngineApp, open_app
from tests.support.mailboxes import document, ids, mail, mailbox, put, stored_ids, sync
from tests.support.stand_ins.token_endpoint import TokenEndpoint
from tests.support.world import World

pytestmark = pytest.mark.covers("CL-14", "CL-X8")

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def configured(configured: Settings, dovecot: Dovecot) -> Settings:
    return configured.model_copy(update={"mail_ca_file": str(dovecot.ca_file), "mail_timeout": 30.0})


@pytest.fixture
async def hasty(configured: Settings) -> AsyncIterator[EngineApp]:
    """An engine that waits a second for a mail server."""
    async with open_app(configured.model_copy(update={"mail_timeout": 1.0})) as app:
        yield app


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    """A mail server that talks as the test wants. Yields its port."""
    writers: list[asyncio.StreamWriter] = []

    async def talking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await talk(reader, writer)

    running = await asyncio.start_server(talking, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.3)  # a talk that drips sees that its writer is closing


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
async def test_every_security_works(app: EngineApp, world: World, dovecot: Dovecot, security: str) -> None:
    port = dovecot.tls_port if security == "tls" else dovecot.port
    id = mailbox(world, dovecot, security=security, port=port)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1)])
    await sync(app, id)
    assert set(stored_ids(world, id)) == ids([1])


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_that_is_not_trusted_is_refused(
    configured: Settings, world: World, dovecot: Dovecot, security: str
) -> None:
    port = dovecot.tls_port if security == "tls" else dovecot.port
    id = mailbox(world, dovecot, security=security, port=port)
    async with open_app(configured.model_copy(update={"mail_ca_file": None})) as app:
        await sync(app, id)
    account = document(world, id)
    assert account["status"] == "failed"
    assert "certificate" in account["last_error"]


async def test_private_hosts_are_refused_unless_allowed(configured: Settings, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot)
    async with open_app(configured.model_copy(update={"allow_private_hosts": False})) as app:
        await sync(app, id)
    assert "not on the public internet" in document(world, id)["last_error"]


async def test_a_wrong_password_rests_the_mailbox_until_its_settings_change(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    id = mailbox(world, dovecot, password="wrong")
    await sync(app, id)
    account = document(world, id)
    assert account["status"] == "login_refused"
    assert datetime.now(UTC) < account["due_at"] <= datetime.now(UTC) + FIRST_REST
    assert "wrong" not in account["last_error"]
    repos = app.with_repos(MailboxRepos.open)
    assert [unit.id for unit in await sweep.find(repos)] == []
    mended = dovecot.account(account["username"])["password"]
    world.db["email_accounts"].update_one({"_id": id}, {"$set": {"password": mended}})
    assert [unit.id for unit in await sweep.find(repos)] == [str(id)]
    await sync(app, id)
    assert document(world, id)["status"] == "ok"


async def test_passwords_may_be_encrypted_and_of_any_characters(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot, password='ü"\\ {5} ')
    await sync(app, id)
    assert document(world, id)["status"] == "login_refused"


async def test_a_server_that_hangs_costs_its_own_time_only(hasty: EngineApp, world: World, dovecot: Dovecot) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as port:
        hanging = mailbox(world, dovecot, host="127.0.0.1", port=port, security="none")
        began = time.monotonic()
        repos = hasty.with_repos(MailboxRepos.open)
        outcome = await run_sync(repos, AccountPlaces(2), hanging)
    assert isinstance(outcome, Snooze)
    assert time.monotonic() - began < 15
    assert document(world, hanging)["failures"] == 1


async def test_a_server_that_drips_is_cut_off(hasty: EngineApp, world: World, dovecot: Dovecot) -> None:
    async def dripping(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ")
        while not writer.is_closing():
            writer.write(b".")
            await asyncio.sleep(0.2)

    async with server(dripping) as port:
        id = mailbox(world, dovecot, host="127.0.0.1", port=port, security="none")
        with pytest.raises(Transient):
            async with open_mailbox(hasty, document(world, id)):
                pass


@pytest.mark.parametrize(
    "answer",
    [b"* OK hi\r\n* BYE go away\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"* PREAUTH hi\r\n\x00\xff\r\n", b"", b"* " * 10**6],
)
async def test_what_is_no_mail_server_is_an_error_of_its_mailbox(
    app: EngineApp, world: World, dovecot: Dovecot, answer: bytes
) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with server(talk) as port:
        id = mailbox(world, dovecot, host="127.0.0.1", port=port, security="none")
        with pytest.raises((Transient, Permanent)):
            async with open_mailbox(app, document(world, id)):
                pass


@pytest.mark.parametrize("farewell", [b"", b"* BYE the server restarts\r\n"])
async def test_a_connection_that_ends_within_the_login_is_no_refusal(
    app: EngineApp, world: World, dovecot: Dovecot, farewell: bytes
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n")
        while b"AUTHENTICATE" not in (line := await reader.readline()):
            writer.write(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n%b OK done\r\n" % line.partition(b" ")[0])
        writer.write(farewell)
        writer.close()

    async with server(talk) as port:
        id = mailbox(world, dovecot, host="127.0.0.1", port=port, security="none")
        with pytest.raises(Transient, match="broke during the login"):
            async with open_mailbox(app, document(world, id)):
                pass


async def test_a_copy_of_a_sent_mail_is_kept_once(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot)
    box, raw = document(world, id), mail("sent")
    assert await keep_copy(app, box, "<msent@test.example>", raw)
    assert not await keep_copy(app, box, "<msent@test.example>", raw)
    assert not await keep_copy(app, {**box, "provider": "gmail"}, "<msent@test.example>", raw)
    with dovecot.client(box["username"]) as client:
        client.select_folder("Sent", readonly=True)
        assert len(client.search()) == 1


async def test_a_mailbox_is_due_at_once_when_its_credential_is_connected_again(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    async with TokenEndpoint() as endpoint:
        dead = credential(world, endpoint, timedelta(seconds=-5))
        endpoint.revoke()
        id = mailbox(world, dovecot, password=None, credential_id=dead)
        await sync(app, id)
        assert document(world, id)["status"] == "login_refused"
        repos = app.with_repos(MailboxRepos.open)
        assert await sweep.find(repos) == []
        again = {"refresh_token": endpoint.grant(), "status": "ok"}
        world.db["integration_credentials"].update_one({"_id": dead}, {"$set": again})
        assert [unit.id for unit in await sweep.find(repos)] == [str(id)]

        # Dovecot cannot ask whose the new token is. That the engine has refreshed the credential mends nothing.
        version = of(world, dead)["version"]
        await sync(app, id)
        assert of(world, dead)["version"] > version
        assert document(world, id)["failures"] > 1
        assert await sweep.find(repos) == []


class Introspection:
    """Says to Dovecot whose access tokens are good."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {}

    async def answer(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self.users.get(token)
        return web.json_response({"email": user or "none@example.org", "active": "yes" if user else "no"})


async def test_xoauth2_with_a_token_that_is_refreshed(app: EngineApp, world: World) -> None:
    introspection = Introspection()
    site = web.Application()
    site.router.add_get("/", introspection.answer)
    runner, port = await listen(site)
    own = await start_dovecot(f"http://127.0.0.1:{port}/")
    try:
        async with TokenEndpoint() as endpoint:
            await _xoauth2(app, world, own, introspection, endpoint)
    finally:
        await own.stop()
        await runner.cleanup()


async def _xoauth2(
    app: EngineApp, world: World, own: Dovecot, introspection: Introspection, endpoint: TokenEndpoint
) -> None:
    user = "oauth@example.org"
    with own.client(user) as client:
        put(client, "INBOX", [mail(1)])
    good = credential(world, endpoint, access_token="a good token")
    introspection.users["a good token"] = user
    plain = {"port": own.port, "security": "none", "password": None}
    id = mailbox(world, own, user, credential_id=good, **plain)
    await sync(app, id)
    assert set(stored_ids(world, id)) == ids([1]), document(world, id)["last_error"]

    # The server revokes the token: it is refreshed, and the new one is not known yet either; then it is.
    del introspection.users["a good token"]
    await sync(app, id)
    assert document(world, id)["status"] == "login_refused"
    introspection.users[endpoint.access_tokens[-1]] = user
    with own.client(user) as client:
        put(client, "INBOX", [mail(2)])
    await sync(app, id)
    assert set(stored_ids(world, id)) == ids([1, 2]), document(world, id)["last_error"]

    endpoint.revoke()
    introspection.users.clear()
    await sync(app, id)
    account = document(world, id)
    assert account["status"] == "login_refused"
    assert "connected again" in account["last_error"]
