"""Webhooks: (a) a crowd of deliveries to 49 endpoints, (b) the same beside one that hangs, (c) first attempts under a
steady load."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bson import ObjectId

from bench.lead_crowd import percentile
from bench.program import create_indexes, environment, running_daemon, wait_until
from bench.row import Row
from tests.support.own_loop import on_own_loop
from tests.support.stand_ins.endpoint import Endpoint, Hang
from tests.support.webhooks import webhook
from tests.support.world import World

ACCOUNTS, ENDPOINTS = 10, 5
HEALTHY = ACCOUNTS * ENDPOINTS - 1
"""One account has room for one more, which hangs."""
EVENTS = 100
"""Of each account."""
ROUNDS = 3
STEADY, STEADY_PER_SECOND = 500, 50
SAMPLE = 97
"""The signature of every 97th message is verified."""
POLL_SECONDS = 0.05
TIMEOUT_SECONDS = 300

Document = dict[str, Any]


def run(servers: Mapping[str, str]) -> list[Row]:
    pairs = [tuple(_crowd(servers, f"bench_webhooks{n}{hangs}", hangs) for hangs in (0, 1)) for n in range(ROUNDS)]
    return [_throughput([alone for alone, _ in pairs]), _hanging(pairs), _first_attempts(servers)]


def _throughput(seconds: Sequence[float]) -> Row:
    each = [HEALTHY * EVENTS / one for one in seconds]
    return Row(
        f"{HEALTHY * EVENTS:,} webhooks to {HEALTHY} endpoints, from inserting the events to the last request",
        f"{median(each):,.0f} webhooks/s",
        "300/s",
        f"{median(each) / 300:.2f}",
        "≥ 1",
        f"{EVENTS} events of each of {ACCOUNTS} accounts, consumed and signed; rounds: "
        f"{', '.join(f'{one:,.0f}' for one in sorted(each))}; the endpoints are one server in Python on the same cores",
    )


def _hanging(pairs: Sequence[tuple[float, ...]]) -> Row:
    ratios = sorted(beside / alone for alone, beside in pairs)
    return Row(
        f"the same beside a {HEALTHY + 1}th endpoint that hangs",
        f"{median(beside for _, beside in pairs):.2f} s",
        f"{median(alone for alone, _ in pairs):.2f} s without it",
        f"{median(ratios):.2f}",
        "≤ 1.05",
        f"ratios of {ROUNDS} rounds, in turn: {', '.join(f'{one:.2f}' for one in ratios)}",
    )


@contextmanager
def _accounts(servers: Mapping[str, str], database: str) -> Iterator[list[World]]:
    settings = {**environment(servers, database), "ALLOW_PRIVATE_HOSTS": "true", "QUEUE_MAX_JOBS_PER_SECOND": "10000"}
    worlds = [World(settings) for _ in range(ACCOUNTS)]
    create_indexes(settings)
    yield worlds
    worlds[0].db.client.drop_database(worlds[0].db)
    for world in worlds:
        world.close()


def _crowd(servers: Mapping[str, str], database: str, hanging: int) -> float:
    """Seconds until the healthy endpoints have everything."""
    with on_own_loop(Endpoint()) as healthy, on_own_loop(Endpoint()) as hung, _accounts(servers, database) as worlds:
        hung.manner = Hang()
        secrets: dict[str, str] = {}
        for n in range(HEALTHY):
            _endpoint(worlds[n % ACCOUNTS], f"{healthy.url}/{n}", secrets)
        for _ in range(hanging):
            _endpoint(worlds[-1], f"{hung.url}/hung", secrets)
        with running_daemon(worlds[0].environment):
            _warm_up(worlds[0], healthy)
            before = len(healthy.received)
            began = time.perf_counter()
            worlds[0].db["crm_events"].insert_many([_event(world) for _ in range(EVENTS) for world in worlds])
            wait_until(lambda: len(healthy.received) >= before + HEALTHY * EVENTS, TIMEOUT_SECONDS, POLL_SECONDS)
            seconds = time.perf_counter() - began
        for one in healthy.received[::SAMPLE]:
            one.verified(secrets[one.path])
        assert bool(hung.received) == bool(hanging)
        return seconds


def _endpoint(world: World, url: str, secrets: dict[str, str]) -> None:
    id = webhook(world, url)
    found = world.db["webhooks"].find_one({"_id": id}) or {}
    secrets[urlsplit(url).path] = found["secret"]


def _event(world: World) -> Document:
    own = {"_id": f"event-{ObjectId()}", "type": "bench.happened", "account_id": world.account, "status": "new"}
    return {**own, "data": {"n": 1, "source": "form"}, "occurred_at": datetime.now(UTC)}


def _warm_up(world: World, endpoint: Endpoint) -> None:
    """One event, until the account's endpoints have it: then the daemon is up."""
    wanted = world.db["webhooks"].count_documents({"account_id": world.account})
    world.db["crm_events"].insert_one(_event(world))
    wait_until(lambda: len(endpoint.received) == wanted, poll=POLL_SECONDS)


def _first_attempts(servers: Mapping[str, str]) -> Row:
    with on_own_loop(Endpoint()) as endpoint, _accounts(servers, "bench_webhooks_steady") as worlds:
        for n, world in enumerate(worlds):
            webhook(world, f"{endpoint.url}/{n}")
        with running_daemon(worlds[0].environment):
            _warm_up(worlds[0], endpoint)
            began, occurred = time.perf_counter(), dict[str, datetime]()
            for n in range(STEADY):
                time.sleep(max(0.0, began + n / STEADY_PER_SECOND - time.perf_counter()))
                event = _event(worlds[n % ACCOUNTS])
                occurred[event["_id"]] = event["occurred_at"]
                worlds[0].db["crm_events"].insert_one(event)
            done = {"state": "delivered"}
            deliveries = worlds[0].db["webhook_deliveries"]
            wait_until(lambda: deliveries.count_documents(done) == STEADY + 1, TIMEOUT_SECONDS, POLL_SECONDS)
        found = [one for one in deliveries.find(done) if one["event_id"] in occurred]
    due = [_ms(one, one["createdAt"]) for one in found]
    inserted = [_ms(one, occurred[one["event_id"]]) for one in found]
    return Row(
        f"{STEADY_PER_SECOND} webhooks a second: from being due to the answer of the first attempt, p50 / p99",
        f"{percentile(due, 0.5):.0f} / {percentile(due, 0.99):.0f} ms",
        "500 ms",
        f"{percentile(due, 0.99) / 500:.2f}",
        "≤ 1",
        f"{STEADY} of {ACCOUNTS} accounts; from inserting the event {percentile(inserted, 0.5):.0f} / "
        f"{percentile(inserted, 0.99):.0f} ms",
    )


def _ms(delivery: Document, since: datetime) -> float:
    """Milliseconds until the endpoint answered the first attempt."""
    first = delivery["attempts"][0]
    answered: datetime = first["at"] + timedelta(milliseconds=first["ms"])
    return (answered - since).total_seconds() * 1000
