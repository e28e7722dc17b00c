"""Health and triggers over HTTP, against the real servers."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession
from jose import jwt

from pipeline_engine import workers
from pipeline_engine.admin import connection
from pipeline_engine.admin.server import listening
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.errors import ConfigError
from pipeline_engine.providers.claims import Identity
from pipeline_engine.settings import Settings
from tests.support.engine_app import open_app
from tests.support.eventually import eventually
from tests.support.world import World

PATHS = {
    "/api/trigger/deals/import": "deals.import",
    "/api/trigger/deals/automations": "deals.automations",
    "/api/trigger/funnels/funnelClone": "funnels.clone",
}
AUTOMATIONS = "/api/trigger/deals/automations"


class Door:
    """The site of one engine, and who asks there."""

    def __init__(self, address: str, token: str, session: ClientSession) -> None:
        self.address = address
        self.token = token
        self.triggered: list[str] = []
        self._session = session

    async def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON; with the right token unless another one is given, '' for none."""
        given = self.token if token is None else token
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        async with self._session.request(method, self.address + path, headers=headers, **more) as response:
            return response.status, await response.json()


@asynccontextmanager
async def opened(settings: Settings, world: World, **changes: object) -> AsyncIterator[Door]:
    changed = settings.model_copy(update={"qm_hooks": True, "http_port": free_ports(1)[0], **changes})
    triggered: list[str] = []

    pokes = {
        name: partial(triggered.append, name)
        for name, (system, _) in workers.sweeps().items()
        if system.enabled(changed)
    }
    async with open_app(changed) as app, ClientSession() as session, listening(app, pokes) as address:
        assert app.tokens is not None
        door = Door(address, app.tokens.mint(Identity(str(world.user), str(world.account))), session)
        door.triggered = triggered
        yield door


@pytest.fixture
async def door(configured: Settings, world: World) -> AsyncIterator[Door]:
    async with opened(configured, world) as door:
        yield door


async def test_alive_and_ready(door: Door) -> None:
    assert await door.ask("GET", "/healthz", "") == (200, {"status": "ok"})
    assert await door.ask("GET", "/readyz", "") == (200, {"mongodb": "ok", "redis": "ok", "s3": "ok"})


async def test_a_server_that_is_away_is_named(configured: Settings, world: World) -> None:
    async with opened(configured, world, s3_endpoint_url="http://127.0.0.1:1") as door:
        assert await door.ask("GET", "/readyz", "") == (503, {"mongodb": "ok", "redis": "ok", "s3": "away"})
        assert await door.ask("GET", "/healthz", "") == (200, {"status": "ok"})


@pytest.mark.parametrize(("path", "sweep"), PATHS.items(), ids=PATHS.values())
@pytest.mark.covers("DA-24", "FC-01")
async def test_a_trigger_has_its_sweep_looked_at(door: Door, path: str, sweep: str) -> None:
    assert await door.ask("POST", path) == (202, {"sweep": sweep, "status": "triggered"})
    assert door.triggered == [sweep]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.covers("DA-24", "FC-01")
async def test_without_hooks_there_is_none(configured: Settings, world: World, path: str) -> None:
    async with opened(configured, world, qm_hooks=False) as door:
        assert await door.ask("POST", path) == (404, {"error": {"code": "not_found", "message": "Not Found"}})
        assert door.triggered == []


def unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}.AAAA"


async def test_no_request_passes_without_a_token_of_ours(door: Door) -> None:
    wrong = {"": "token_missing", "x.y.z": "token_shape", unsigned(door.token): "token_algorithm"}
    wrong[door.token[:-4] + "AAAA"] = "token_signature"
    for token, code in wrong.items():
        status, answer = await door.ask("POST", AUTOMATIONS, token)
        assert (status, answer["error"]["code"]) == (401, code)
        assert not token or token not in str(answer)
    assert door.triggered == []


async def test_the_rules_for_tokens_and_the_scope_are_kept(configured: Settings, world: World) -> None:
    async with opened(configured, world, token_issuer="crm") as door:
        status, answer = await door.ask("POST", AUTOMATIONS)
        assert (status, answer["error"]["code"]) == (401, "token_issuer")
        now = int(datetime.now(UTC).timestamp())
        who = {"uid": "u", "account_id": "a", "type": "access_token", "iss": "crm", "iat": now, "exp": now + 60}
        assert configured.app_secret is not None
        for scope, expected in (("contacts", 403), ("contacts contacts.create", 202)):
            token = jwt.encode({**who, "scope": scope}, configured.app_secret.get_secret_value(), "HS256")
            assert (await door.ask("POST", AUTOMATIONS, token))[0] == expected


async def test_a_token_that_has_run_out_is_refused(configured: Settings, world: World) -> None:
    async with open_app(configured) as app:
        app.clock.set(datetime.now(UTC) - timedelta(hours=2))
        assert app.tokens is not None
        old = app.tokens.mint(Identity(str(world.user), str(world.account)))
    async with opened(configured, world) as door:
        status, answer = await door.ask("POST", AUTOMATIONS, old)
        assert (status, answer["error"]["code"]) == (401, "token_expired")
        assert door.triggered == []


async def test_what_is_asked_wrongly_is_named(door: Door) -> None:
    assert (await door.ask("GET", AUTOMATIONS))[0] == 405
    assert (await door.ask("POST", "/api/trigger/../../etc/passwd"))[0] == 404
    status, answer = await door.ask("POST", AUTOMATIONS, data=b"x" * (64 * 1024 + 1))
    assert (status, answer["error"]["code"]) == (413, "too_large")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    assert (await door.ask("POST", AUTOMATIONS, data=chunks()))[0] == 411
    assert door.triggered == []


async def test_a_system_that_is_switched_off_is_not_started_here(configured: Settings, world: World) -> None:
    async with opened(configured, world, qm_deals_automations=False) as door:
        status, answer = await door.ask("POST", AUTOMATIONS)
        assert (status, answer["error"]["code"]) == (409, "switched_off")
        assert door.triggered == []


async def test_a_fault_of_ours_shows_nothing_of_itself(configured: Settings, world: World) -> None:
    changed = configured.model_copy(update={"qm_hooks": True, "http_port": free_ports(1)[0]})

    def broken() -> None:
        raise RuntimeError("the password is hunter2")

    pokes = {"deals.automations": broken}
    async with open_app(changed) as app, ClientSession() as session, listening(app, pokes) as address:
        assert app.tokens is not None
        door = Door(address, app.tokens.mint(Identity(str(world.user), str(world.account))), session)
        status, answer = await door.ask("POST", AUTOMATIONS)
    assert (status, answer["error"]["code"]) == (500, "internal_server_error")
    assert "hunter2" not in str(answer)


async def test_every_answer_says_what_a_browser_may_do_with_it(door: Door) -> None:
    for path in ("/healthz", "/nowhere", AUTOMATIONS):
        async with ClientSession() as session, session.get(door.address + path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert "Server" not in response.headers


async def test_a_silent_connection_keeps_no_other_out(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT", 0.5)
    host, port = door.address.removeprefix("http://").split(":")
    with ExitStack() as silent:
        for _ in range(connection.MAX_CONNECTIONS + 5):
            silent.enter_context(socket.create_connection((host, int(port))))

        async def answers() -> bool:
            async with ClientSession() as session, session.get(door.address + "/healthz") as response:
                return response.status == 200

        await eventually(answers, "the door is open again")


async def test_without_a_secret_or_a_free_port_there_is_no_door(configured: Settings, world: World) -> None:
    with pytest.raises(ConfigError, match="APP_SECRET"):
        async with opened(configured, world, app_secret=None, socket_url=None):
            pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"HTTP_PORT: given 127.0.0.1 and {port}: cannot listen there"):
            async with opened(configured, world, http_port=port):
                pass
