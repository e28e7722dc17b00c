"""CRM events: (a) from the insert to the activity log against BullMQ, (b) 16,000 of one account under the default rate,
(c) one at a time in an idle daemon, and (d) webhooks."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bson import ObjectId

from bench import webhooks
from bench.lanes import Peer, bullmq_peer
from bench.lead_crowd import insert, percentile
from bench.program import create_indexes, environment, peak_megabytes, running_daemon, wait_until
from bench.row import Row
from tests.support.crm_events import contact, created, members
from tests.support.world import World

MANY = 16_000
ACCOUNTS = 8
ROUNDS = 3
SINGLE = 200
WARM_UP = 5
REST_SECONDS = 0.3
FAST = {"QUEUE_MAX_JOBS_PER_SECOND": "10000", "QUEUE_CONCURRENCY": "10"}
"""No limit that matters, and the places of the production profile."""
TYPES = {"deal.created": "a row of the timeline", "contact.created": "score, owner, and a row of the timeline"}
POLL_SECONDS = 0.05
TIMEOUT_SECONDS = 300

Document = dict[str, Any]


@dataclass(frozen=True)
class Crowd:
    """What a crowd of events took until all of them stood in the activity log."""

    seconds: float
    megabytes: float


def run(servers: Mapping[str, str]) -> list[Row]:
    return [*_against_bullmq(servers), _under_the_rate(servers), _idle(servers), *webhooks.run(servers)]


def _against_bullmq(servers: Mapping[str, str]) -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        peer = asyncio.run(bullmq_peer(Path(scratch), {"inserts": MANY}, "mongodb@6"))
        ours: dict[str, list[Crowd]] = {type: [] for type in TYPES}
        theirs: list[float] = []
        for n in range(ROUNDS):
            settings = environment(servers, f"bench_events{n}")
            for type, crowds in ours.items():
                crowds.append(_crowd({**settings, **FAST}, type, ACCOUNTS))
            if peer:
                theirs.append(_bullmq(peer, settings))
    return [_versus(type, crowds, theirs) for type, crowds in ours.items()]


def _bullmq(peer: Peer, settings: Mapping[str, str]) -> float:
    """Seconds for as many jobs, each of which inserts a document."""
    seen = asyncio.run(peer.once("inserts", settings["REDIS_URL"], settings["MONGO_URL"]))
    return float(seen["seconds"])


def _versus(type: str, crowds: Sequence[Crowd], theirs: Sequence[float]) -> Row:
    ours = MANY / median(crowd.seconds for crowd in crowds)
    ratios = sorted(other / crowd.seconds for crowd, other in zip(crowds, theirs, strict=False))
    said = f"ratios of {ROUNDS} rounds: {', '.join(f'{one:.2f}' for one in ratios)}; " if theirs else ""
    return Row(
        f"{MANY:,} `{type}` of {ACCOUNTS} accounts without a limit, from the insert to the activity log",
        f"{ours:,.0f} events/s",
        f"BullMQ {MANY / median(theirs):,.0f} jobs/s of one insert_one each" if theirs else "BullMQ is not there",
        f"{median(ratios):.2f}" if theirs else "-",
        "≥ 1.0, ≥ 3,000/s",
        f"{said}ours writes {TYPES[type]}, the event's end, and a row of the log; "
        f"peak RSS {max(crowd.megabytes for crowd in crowds):.0f} MB",
    )


def _under_the_rate(servers: Mapping[str, str]) -> Row:
    crowd = _crowd(environment(servers, "bench_events_rate"), "contact.created", 1)
    return Row(
        f"{MANY:,} `contact.created` of one account under the default rate of 5 jobs/s, insert to activity log",
        f"{crowd.seconds:.1f} s",
        "60 s",
        f"{crowd.seconds / 60:.2f}",
        "≤ 1",
        f"{MANY / crowd.seconds:,.0f} events/s; peak RSS {crowd.megabytes:.0f} MB",
    )


def _crowd(settings: Mapping[str, str], type: str, accounts: int) -> Crowd:
    worlds = [World(settings) for _ in range(accounts)]
    create_indexes(settings)
    db, events = worlds[0].db, list(_events(worlds, type))
    log = db["activity_log"]
    with running_daemon(settings) as daemon:
        _warm_up(worlds)
        began = time.perf_counter()
        insert(worlds[0], "crm_events", events)
        wait_until(lambda: log.estimated_document_count() >= MANY + accounts, TIMEOUT_SECONDS, POLL_SECONDS)
        crowd = Crowd(time.perf_counter() - began, peak_megabytes(daemon.pid))
    assert log.count_documents({"type": type}) == db["activities"].count_documents({}) == MANY
    assert db["crm_events"].count_documents({"status": "done"}) == MANY + accounts
    if type == "contact.created":
        assert db["contacts"].count_documents({"owner": {"$ne": None}, "lead_score": {"$gt": 0}}) == MANY
    db.client.drop_database(db)
    for world in worlds:
        world.close()
    return crowd


def _events(worlds: Sequence[World], type: str) -> Iterator[Document]:
    """So many new events of the accounts in turn, each of a record of its own; contacts and team members are there."""
    name = f"{type.partition('.')[0]}_id"
    for world in worlds:
        members(world, 3)
        ids = [ObjectId() for _ in range(MANY // len(worlds))]
        own = {"account_id": world.account, "phone": "+15005550006", "company": "", "title": None}
        if type == "contact.created":
            insert(world, "contacts", ({"_id": id, **own, "name": "Ada", "email": f"{id}@example.com"} for id in ids))
        for id in ids:
            yield _event(world, type, {name: id})


def _event(world: World, type: str, data: Document) -> Document:
    own = {"_id": f"event-{ObjectId()}", "type": type, "account_id": world.account, "status": "new"}
    return {**own, "data": data, "occurred_at": datetime.now(UTC)}


def _warm_up(worlds: Sequence[World]) -> None:
    """One event of each account, which no consumer wants, until the log has it: then the daemon is up."""
    worlds[0].db["crm_events"].insert_many([_event(world, "bench.began", {}) for world in worlds])
    log = worlds[0].db["activity_log"]
    wait_until(lambda: log.count_documents({"type": "bench.began"}) == len(worlds), poll=POLL_SECONDS)


def _idle(servers: Mapping[str, str]) -> Row:
    settings = environment(servers, "bench_events_idle")
    world = World(settings)
    create_indexes(settings)
    members(world, 3)
    with running_daemon(settings):
        _warm_up([world])
        waits = [_until_consumed(world) for _ in range(WARM_UP + SINGLE)][WARM_UP:]
    world.close()
    half, most = percentile(waits, 0.5), percentile(waits, 0.99)
    return Row(
        "from inserting a `contact.created` to its end, idle daemon, default rate, p50 / p99",
        f"{half:.0f} / {most:.0f} ms",
        "the sweep's 30 s",
        f"{half / 30_000:.5f}",
        "≤ 30 / ≤ 150 ms",
        f"{SINGLE} events, one at a time; slowest {max(waits):.0f} ms",
    )


def _until_consumed(world: World) -> float:
    """Milliseconds."""
    id = contact(world)
    time.sleep(REST_SECONDS)  # events come one by one, not on the heels of the last one
    began = time.perf_counter()
    done = {"_id": created(world, id, at=0), "status": "done"}
    wait_until(lambda: world.db["crm_events"].find_one(done, projection=["_id"]))
    return (time.perf_counter() - began) * 1000
