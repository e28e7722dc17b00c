"""Errors of jobs are reported to Sentry, without what tenants wrote; a reporter that fails fails no job."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import error_reports, settings
from pipeline_engine.engine import Engine
from pipeline_engine.errors import ConfigError, Permanent, Transient
from pipeline_engine.lanes import Backoff, JobKind, Lane, LaneQueue
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.workers.system import System
from tests.support.crm_events import Spy, contact, created, work
from tests.support.engine_app import open_app
from tests.support.eventually import eventually
from tests.support.stand_ins.sentry import Sentry
from tests.support.stand_ins.stand_in import Hang, Say
from tests.support.world import World

LANE = Lane("mails", places=2, backoff=Backoff.fixed(0.01), attempts=2)
KIND = JobKind("mails.send", LANE, str)
PERSON = "Ada Lovelace, ada@example.com, +44 20 7946 0958"

Handler = Callable[[Any, Any, str], Awaitable[None]]


async def bad(_app: object, _cache: object, secret: str) -> None:
    local = secret + PERSON
    raise ValueError(f"cannot read {local}")


@pytest.fixture
async def sentry() -> AsyncIterator[Sentry]:
    async with Sentry() as sentry:
        yield sentry
    await error_reports.stop()


async def run(
    configured: Settings, monkeypatch: pytest.MonkeyPatch, handler: Handler, dsn: str, argument: str = "x"
) -> None:
    """Run one job of the kind to its end, in an engine that reports to the DSN."""
    system: System[Any] = System("mails", "", (), lambda _store: None, {KIND: handler}, ())
    monkeypatch.setattr("pipeline_engine.workers.SYSTEMS", (system,))
    given = settings.load(**{**configured.model_dump(), "sentry_dsn": dsn})
    async with open_app(given) as app:
        engine = Engine(app)
        await engine.start()
        try:
            await app.queue.enqueue(LANE.name, KIND.name, argument, id="the job")
            await eventually(lambda: _is_empty(app.queue), "the job has ended")
        finally:
            await engine.stop(0)


@pytest.mark.covers("CL-11")
async def test_every_failed_attempt_is_reported_with_the_name_of_its_job_and_no_data(
    configured: Settings, monkeypatch: pytest.MonkeyPatch, sentry: Sentry, world: World
) -> None:
    await run(configured, monkeypatch, bad, sentry.dsn, argument="argument-of-the-job")

    assert [event["tags"] for event in sentry.events] == [
        {"job": "mails.send", "lane": "mails", "attempt": str(attempt)} for attempt in (1, 2)
    ]
    (one,) = sentry.events[0]["exception"]["values"]
    assert (one["type"], one["value"]) == ("ValueError", "")
    assert one["stacktrace"]["frames"][-1]["function"] == "bad"
    for word in ("Ada", "ada@", "7946", "argument-of-the-job", "cannot read", str(world.db.name)):
        assert word not in sentry.text, word
    assert world.db["dead_letters"].count_documents({"job_id": "the job"}) == 1, "it was retried as its lane says"


async def test_what_was_raised_on_purpose_is_reported_when_it_is_given_up(
    configured: Settings, monkeypatch: pytest.MonkeyPatch, sentry: Sentry
) -> None:
    async def refuses(*_: object) -> None:
        raise Transient("the server at smtp://bob:hunter2@mail is slow")

    async def gives_up(*_: object) -> None:
        raise Permanent("no such deal")

    await run(configured, monkeypatch, refuses, sentry.dsn)
    await run(configured, monkeypatch, gives_up, sentry.dsn)

    values = [event["exception"]["values"][-1] for event in sentry.events]
    assert [(one["type"], one["value"]) for one in values] == [
        ("Transient", "the server at smtp://***@mail is slow"),
        ("Permanent", "no such deal"),
    ]


@pytest.mark.covers("CL-11")
@pytest.mark.parametrize("state", ["closed", "hangs", "refuses"])
async def test_a_reporter_that_fails_neither_fails_nor_delays_a_job(
    configured: Settings, monkeypatch: pytest.MonkeyPatch, sentry: Sentry, world: World, state: str
) -> None:
    sentry.next.extend([Hang(), Hang()] if state == "hangs" else [Say(500), Say(429)])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://key@127.0.0.1:{unused.getsockname()[1]}/7"
        begun = time.monotonic()
        await run(configured, monkeypatch, bad, nowhere if state == "closed" else sentry.dsn)
    assert time.monotonic() - begun < 10
    assert world.db["dead_letters"].count_documents({"job_id": "the job"}) == 1


async def test_an_error_inside_a_claimed_run_is_reported_once(
    configured: Settings, world: World, sentry: Sentry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document counts the attempts of an import, so no error of its run leaves the job."""

    async def broken(*_: object) -> None:
        raise LookupError(PERSON)

    monkeypatch.setattr("pipeline_engine.domain.imports.coordinator.open_file", broken, raising=False)
    world.submit("Deal\nOne\n", {"Deal": "name"})
    changes = {"import_attempts": 1, "sentry_dsn": sentry.dsn}
    await run_once(settings.load(**{**configured.model_dump(), **changes}), ["deals.import"])

    assert [event["tags"]["job"] for event in sentry.events] == ["import"]
    assert PERSON not in sentry.text


async def test_an_error_of_a_consumer_is_reported(
    configured: Settings, world: World, sentry: Sentry, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr("pipeline_engine.domain.consumers.attempt.CONSUMERS", (spy.consumer,))
    spy.failing = {created(world, contact(world, name=PERSON))}
    error_reports.start(sentry.dsn)
    async with open_app(configured) as app:
        await work(app, world)
    await error_reports.stop()

    assert [event["tags"] for event in sentry.events] == [{"job": "event spy", "attempt": "1"}]
    assert PERSON not in sentry.text


@pytest.mark.parametrize("dsn", ["sentry", "https://sentry.io/7", "https://key@sentry.io/", "ftp://key@sentry.io/7"])
def test_a_setting_that_is_no_dsn_is_refused_and_not_shown(dsn: str) -> None:
    with pytest.raises(ConfigError, match=r"SENTRY_DSN: given \(not shown\): must be a DSN") as refused:
        settings.load(_env_file=None, sentry_dsn=dsn)
    assert dsn not in str(refused.value)


async def test_without_a_dsn_nothing_is_loaded_or_kept() -> None:
    error_reports.start(None)
    error = ValueError(str(ObjectId()))
    error_reports.add(error, "job")
    await error_reports.stop()
    assert error.__dict__ == {}


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts([LANE.name]))[LANE.name].unfinished == 0
