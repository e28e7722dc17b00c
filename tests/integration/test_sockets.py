from __future__ import annotations

import asyncio
import json
import logging
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace

import pytest
from bson import ObjectId

from pipeline_engine.clock import Clock
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.providers.socket_client import SocketClient
from pipeline_engine.providers.sockets import Delivery, LoggedSockets, Sockets, SocketService
from pipeline_engine.providers.tokens import ServiceTokens
from tests.support.eventually import eventually
from tests.support.proxy import Fault, Proxy
from tests.support.said import Said

SECRET = "a secret that is long enough for everybody"
MB = 1024 * 1024


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> ServiceTokens:
    return ServiceTokens(SECRET, clock)


@pytest.fixture
async def sink(servers: dict[str, str]) -> AsyncIterator[Sink]:
    sink = Sink(servers["SOCKET_SINK_URL"])
    await sink.clear()
    yield sink
    await sink.clear()


@pytest.fixture
async def proxy(servers: dict[str, str]) -> AsyncIterator[Proxy]:
    async with Proxy.before(servers["SOCKET_URL"]) as proxy:
        yield proxy


@pytest.fixture
async def service(servers: dict[str, str], proxy: Proxy, tokens: ServiceTokens) -> AsyncIterator[SocketService]:
    """Through the proxy."""
    async with SocketService(proxy.instead_of(servers["SOCKET_URL"]), "socket.io", tokens, timeout=15.0) as service:
        yield service


@pytest.fixture
async def hasty(servers: dict[str, str], proxy: Proxy, tokens: ServiceTokens) -> AsyncIterator[SocketService]:
    """Through the proxy, and with little patience."""
    async with SocketService(proxy.instead_of(servers["SOCKET_URL"]), "socket.io", tokens, timeout=2.0) as service:
        yield service


async def say(service: Sockets, event_id: str = "e1") -> Delivery:
    return await service.emit("import_progress", event_id, ["u1"], {"rows_read": 5})


async def until_said(service: Sockets, event_id: str) -> None:
    await eventually(lambda: say(service, event_id), f"{event_id} is acknowledged")


async def test_an_event_arrives_as_the_contract_says(service: SocketService, sink: Sink, tokens: ServiceTokens) -> None:
    user = ObjectId()
    done = await service.emit("import_finished", "e1", [user, "u2"], {"status": "completed", "added": 3})
    assert done is Delivery.ACKNOWLEDGED
    assert done
    (event,) = await sink.records(event="import_finished")
    assert event["payload"] == {
        "event_id": "e1",
        "user_ids": [str(user), "u2"],
        "data": {"status": "completed", "added": 3},
    }
    assert event["auth"].keys() == {"token"}


async def test_it_connects_once_for_many_events_at_once(service: SocketService, sink: Sink) -> None:
    assert all(await asyncio.gather(*(say(service, f"e{number}") for number in range(50))))
    events = await sink.records(event="import_progress")
    assert {event["payload"]["event_id"] for event in events} == {f"e{number}" for number in range(50)}
    assert len(await sink.records(event="connect")) == 1


async def test_it_does_not_connect_before_an_event_comes(service: SocketService, proxy: Proxy) -> None:
    assert proxy.accepted == 0
    await say(service)
    assert proxy.accepted == 1


async def test_each_connection_gets_a_fresh_token(
    hasty: SocketService, sink: Sink, proxy: Proxy, clock: Clock, tokens: ServiceTokens
) -> None:
    await say(hasty, "e1")
    clock.set(clock.now() + timedelta(hours=2))  # the first one has run out by now
    await proxy.cut()
    await until_said(hasty, "e2")
    first, *_, second = [record["auth"]["token"] for record in await sink.records(event="connect")]
    assert first != second
    now = clock.now().timestamp()
    claims = json.loads(urlsafe_b64decode(second.split(".")[1] + "=="))
    assert claims["type"] == "access_token"
    assert now < claims["exp"] <= now + 3600


async def test_a_cut_connection_is_made_again(hasty: SocketService, sink: Sink, proxy: Proxy) -> None:
    assert await say(hasty, "e1")
    await proxy.cut()
    await until_said(hasty, "e2")
    assert [record["payload"]["event_id"] for record in await sink.records(event="import_progress")][-1] == "e2"


async def test_a_service_that_is_away_costs_no_time(service: SocketService, proxy: Proxy, sink: Sink) -> None:
    await proxy.refuse()
    assert await say(service) is Delivery.UNSENT
    started = time.monotonic()
    for _ in range(100):
        assert await say(service) is Delivery.UNSENT
    assert time.monotonic() - started < 20
    await proxy.accept()
    await until_said(service, "back")
    assert await sink.records(event="import_progress") != []


async def test_the_pauses_between_attempts_grow_and_end(
    hasty: SocketService, proxy: Proxy, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, there = 1000.0, proxy.target
    monkeypatch.setattr("pipeline_engine.providers.sockets.time", SimpleNamespace(monotonic=lambda: now))
    tried: list[float] = []
    proxy.target = ("127.0.0.1", 1)
    for tenth in range(1200):
        now = 1000.0 + tenth / 10
        before = proxy.accepted
        assert await say(hasty) is Delivery.UNSENT
        if proxy.accepted > before:
            tried.append(now - 1000.0)
    pauses = [round(later - earlier, 1) for earlier, later in pairwise(tried)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    proxy.target = there
    now += 31
    assert await say(hasty)
    await proxy.cut()  # and a connection that did work is made again at once
    await until_said(hasty, "e2")


async def test_a_hanging_service_costs_bounded_time_and_recovers(
    hasty: SocketService, proxy: Proxy, sink: Sink
) -> None:
    proxy.set(Fault(hang=True))
    started = time.monotonic()
    assert await say(hasty) is Delivery.UNSENT
    assert time.monotonic() - started < 15
    proxy.heal()
    await until_said(hasty, "back")


async def test_an_event_without_an_acknowledgement_is_known_as_such(hasty: SocketService, sink: Sink) -> None:
    await sink.behave(silent=True)
    assert await say(hasty) is Delivery.UNHEARD
    assert not Delivery.UNHEARD
    assert len(await sink.wait_for(1, event="import_progress")) == 1


async def test_a_connection_that_stays_unheard_is_made_anew(hasty: SocketService, sink: Sink) -> None:
    await sink.behave(silent=True)
    for _ in range(3):
        assert await say(hasty) is Delivery.UNHEARD
    await sink.behave(silent=False)
    await until_said(hasty, "e4")
    assert len(await sink.records(event="connect")) == 2


async def test_a_service_that_refuses_us_is_away(service: SocketService, sink: Sink) -> None:
    await sink.behave(refuse="not you")
    assert await say(service) is Delivery.UNSENT
    await sink.behave(refuse="")
    await until_said(service, "e2")


async def test_leaving_never_hangs(servers: dict[str, str], proxy: Proxy, tokens: ServiceTokens) -> None:
    service = SocketService(proxy.instead_of(servers["SOCKET_URL"]), "socket.io", tokens, timeout=1.0)
    async with service:
        await say(service)
        proxy.set(Fault(hang=True))
        started = time.monotonic()
    assert time.monotonic() - started < 15
    assert [task for task in asyncio.all_tasks() if "engineio" in repr(task)] == []


async def test_leaving_never_hangs_on_what_is_still_unsent(
    servers: dict[str, str], proxy: Proxy, tokens: ServiceTokens
) -> None:
    service = SocketService(proxy.instead_of(servers["SOCKET_URL"]), "socket.io", tokens, timeout=0.5)
    async with service:
        await say(service)
        proxy.set(Fault(hang=True))
        much = [service.emit("import_progress", f"e{n}", [], {"much": "x" * (MB // 3)}) for n in range(90)]
        assert set(await asyncio.gather(*much)) <= {Delivery.UNHEARD, Delivery.UNSENT}
        started = time.monotonic()
    assert time.monotonic() - started < 15
    assert [task for task in asyncio.all_tasks() if "engineio" in repr(task)] == []


async def test_an_end_that_is_cancelled_leaves_nothing_open(
    servers: dict[str, str], proxy: Proxy, tokens: ServiceTokens
) -> None:
    url = proxy.instead_of(servers["SOCKET_URL"])
    client = await SocketClient.connect(url, "socket.io", tokens.for_service(), 5.0)
    proxy.set(Fault(hang=True))
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert client._session.closed
    assert [task for task in asyncio.all_tasks() if "engineio" in repr(task)] == []


async def test_an_event_too_large_for_the_service_does_not_cut_the_others_off(
    service: SocketService, sink: Sink
) -> None:
    assert await say(service, "first")
    others = [say(service, f"e{number}") for number in range(20)]

    with pytest.raises(ValueError, match="2000"):
        await service.emit("e", "large", [], {"text": "x" * 2_000_000})

    assert await asyncio.gather(*others) == [Delivery.ACKNOWLEDGED] * 20


async def test_data_that_is_no_json_is_the_callers_fault(service: SocketService, sink: Sink) -> None:
    with pytest.raises(TypeError):
        await service.emit("import_progress", "e1", [], {"id": ObjectId()})
    assert await say(service)


async def test_a_token_never_shows_in_the_log(
    service: SocketService,
    sink: Sink,
    proxy: Proxy,
    said: Said,
) -> None:
    await say(service)
    await proxy.cut()
    await sink.behave(refuse="not you")
    await say(service)
    seen = [record["auth"]["token"] for record in await sink.records(event="connect")]
    assert seen
    assert not any(token in said() for token in seen)


async def test_the_library_adds_nothing_to_the_logging_of_the_process(
    service: SocketService, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    loggers = [logging.getLogger(name) for name in ("socketio.client", "engineio.client")]
    for logger in loggers:
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "level", logging.NOTSET)
    assert await say(service)
    assert [logger.handlers for logger in loggers] == [[], []]


async def test_without_a_service_events_stand_in_the_log(said: Said) -> None:
    async with LoggedSockets() as service:
        assert await service.emit("import_finished", "e1", ["u1", "u2"], {"status": "completed"})
    assert "import_finished" in said()
    assert "e1" in said()
