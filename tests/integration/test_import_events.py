"""What users hear of an import over the socket, and that a deaf or absent service holds nothing up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.events import relay
from pipeline_engine.domain.events.jobs import DELIVER
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.lanes import Done, Snooze
from pipeline_engine.providers.sockets import SocketService
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.fuzz.rows import socket_event
from tests.support.world import SAMPLE, Document, World


@pytest.fixture
async def sink(servers: dict[str, str]) -> AsyncIterator[Sink]:
    """The socket service, which has heard nothing yet."""
    sink = Sink(servers["SOCKET_SINK_URL"])
    await sink.clear()
    yield sink
    await sink.clear()


def outbox(world: World) -> Document:
    (message,) = world.db["outbox"].find()
    return message


def make_due(world: World) -> None:
    """The pause before the next attempt is over."""
    world.db["outbox"].update_many({}, {"$set": {"next_at": datetime.now(UTC) - timedelta(seconds=1)}})


@pytest.mark.covers("DI-20", "R-26")
async def test_the_end_is_sent_to_the_user_of_the_import(
    world: World, configured: Settings, run_imports: RunImports, sink: Sink
) -> None:
    queue_id = world.submit(SAMPLE)

    await run_imports()

    (record,) = await sink.records(event="import_finished")
    assert record["payload"] == {
        "event_id": f"import_finished:{queue_id}:0",
        "user_ids": [str(world.user)],
        "data": {"queue_id": str(queue_id), "status": "completed", "added": 3, "failed": 0},
    }
    assert record["auth"]["token"].startswith("eyJ")
    assert (outbox(world)["state"], outbox(world)["attempts"]) == ("delivered", 1)
    assert (outbox(world)["expires_at"] - datetime.now(UTC)).days in (6, 7)

    (again,) = (await run_once(configured, ["events.outbox"])).results
    assert (again.units, again.succeeded) == (1, 1)  # the CRM event, which is consumed
    assert len(await sink.records(event="import_finished")) == 1


async def test_progress_is_sent_at_most_once_a_second(world: World, run_imports: RunImports, sink: Sink) -> None:
    queue_id = world.submit("name\n" + "Deal\n" * 600, {"name": "name"})

    result = await run_imports(import_chunk_rows=4)

    received = [record["payload"] for record in await sink.records(event="import_progress")]
    assert 1 <= len(received) <= result.seconds + 1
    assert all(payload["user_ids"] == [str(world.user)] for payload in received)
    data: list[dict[str, Any]] = [payload["data"] for payload in received]
    assert {one["queue_id"] for one in data} == {str(queue_id)}
    assert [one["rows_added"] for one in data] == sorted(one["rows_added"] for one in data)
    assert data[0].keys() == {
        "queue_id",
        "bytes_read",
        "bytes_total",
        "rows_read",
        "rows_added",
        "rows_updated",
        "rows_skipped",
        "rows_failed",
    }


async def test_an_absent_service_stops_no_import_and_gets_its_event_later(
    world: World, configured: Settings, run_imports: RunImports, sink: Sink
) -> None:
    world.submit(SAMPLE)
    away = {"socket_url": "http://127.0.0.1:1"}

    done = await run_once(configured.model_copy(update=away), ["deals.import"])

    assert (done.results[0].succeeded, done.events_waiting) == (1, 1)
    assert (outbox(world)["state"], outbox(world)["attempts"]) == ("waiting", 0)
    make_due(world)
    (result,) = (await run_once(configured, ["events.outbox"])).results
    assert (result.units, result.succeeded, result.failed, result.busy) == (2, 2, 0, 0)  # with the CRM event
    assert len(await sink.records(event="import_finished")) == 1


@pytest.mark.covers("R-26")
async def test_a_service_that_never_acknowledges_gets_an_event_three_times(
    world: World, app: EngineApp, run_imports: RunImports, sink: Sink
) -> None:
    queue_id = world.submit(SAMPLE)
    await run_imports(socket_url="http://127.0.0.1:1")
    make_due(world)
    await sink.behave(silent=True)
    assert app.tokens is not None
    async with SocketService(app.settings.socket_url or "", app.settings.socket_path, app.tokens, 0.3) as sockets:
        deaf = replace(app, sockets=sockets)
        for attempt in (1, 2, 3):
            (unit,) = await relay.find(deaf)
            await relay.run_delivery(deaf, set(), unit.id)
            assert outbox(world)["attempts"] == attempt
            assert await relay.find(deaf) == []  # not before the pause is over
            make_due(world)

        assert outbox(world)["state"] == "given_up"
        assert await relay.find(deaf) == []

    heard = await sink.records(event="import_finished")
    assert [record["payload"]["event_id"] for record in heard] == [f"import_finished:{queue_id}:0"] * 3


async def test_an_event_whose_last_attempt_ended_in_a_crash_is_not_sent_a_fourth_time(
    world: World, configured: Settings, run_imports: RunImports, sink: Sink
) -> None:
    world.submit(SAMPLE)
    await run_imports(socket_url="http://127.0.0.1:1")
    await sink.clear()
    make_due(world)
    world.db["outbox"].update_one({}, {"$set": {"attempts": 3}})

    (result,) = (await run_once(configured, ["events.outbox"])).results

    assert result.failed == 1
    assert outbox(world)["state"] == "given_up"
    assert await sink.records() == []


async def test_of_two_daemons_one_delivers(world: World, app: EngineApp, run_imports: RunImports) -> None:
    world.submit(SAMPLE)
    await run_imports()
    message = outbox(world)

    assert await app.shared.events.count_attempt(message, again_in=30)
    assert not await app.shared.events.count_attempt(message, again_in=30)


async def test_accounts_wait_for_no_event_of_another_account(world: World, app: EngineApp) -> None:
    mine, neighbour = socket_event(world), socket_event(world)
    world.db["outbox"].update_one({"_id": neighbour}, {"$set": {"account_id": ObjectId()}})
    waits_for_an_answer = {repr(world.account)}

    assert isinstance(await relay.run_delivery(app, waits_for_an_answer, mine), Snooze)
    assert isinstance(await relay.run_delivery(app, waits_for_an_answer, neighbour), Done)

    states = {one["_id"]: one["state"] for one in world.db["outbox"].find()}
    assert states == {mine: "waiting", neighbour: "delivered"}
    assert {job for unit in await relay.find(app) for job in unit.jobs} == {(DELIVER, mine)}
