"""Scheduled jobs: (a) intent decay against a bare bulk write, (b) its cost per account, (c) a tick with nothing due."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from bench.program import environment, run_once
from bench.row import Row
from pipeline_engine import failpoints, settings, workers
from pipeline_engine.domain.jobs import sweep
from pipeline_engine.domain.jobs.table import JOBS
from pipeline_engine.repos.job_repos import JobRepos
from tests.support.world import World

ACCOUNTS, FEW_ACCOUNTS = 1000, 100
CONTACTS = 200
BATCH = 1000
LOOKS = 9

Document = dict[str, Any]


def run(servers: Mapping[str, str]) -> list[Row]:
    few, _ = _decay(environment(servers, "bench_decay1"), FEW_ACCOUNTS)
    many, floor = _decay(environment(servers, "bench_decay2"), ACCOUNTS)
    return [_bare(many, floor), _flat(few, many), _idle(servers)]


def _decay(given: Mapping[str, str], accounts: int) -> tuple[float, float]:
    """Seconds of intent decay for so many accounts, and of a bare bulk write of the same updates."""
    world, total = World(given), accounts * CONTACTS
    ids = _contacts(world, accounts)
    ours = run_once(given, sweep="crm.intent_decay")
    decayed = {"intent_score": 44.0, "intent_level": "medium", "lead_grade": "B"}
    assert world.db["contacts"].count_documents(decayed) == total
    began = time.perf_counter()
    for at in range(0, total, BATCH):
        change = {"intent_score": 43.0, "intent_level": "medium", "lead_score": 59.0, "lead_grade": "B"}
        some = [UpdateOne({"_id": id, "account_id": account}, {"$set": change}) for account, id in ids[at : at + BATCH]]
        world.db["contacts"].bulk_write(some, ordered=False)
    floor = time.perf_counter() - began
    world.close()
    return ours.seconds, floor


def _contacts(world: World, accounts: int) -> list[tuple[ObjectId, ObjectId]]:
    """Accounts with contacts of two signals, of which 44 points are left: (account, contact) in random order."""
    owners = [ObjectId() for _ in range(accounts)]
    world.db["_accounts"].delete_many({})
    world.db["_accounts"].insert_many([{"_id": account, "active": True} for account in owners])
    at = datetime.now(UTC) - timedelta(days=3, hours=1)
    ids = [(account, ObjectId()) for account in owners for _ in range(CONTACTS)]
    person = {"name": "Ada", "email": "ada@example.com", "intent_score": 50.0, "intent_level": "medium"}
    signals = [("page_view", 0), ("demo_request", 50)]
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        world.db["contacts"].insert_many([{"_id": id, "account_id": account, **person} for account, id in some])
        rows = [
            {"account_id": account, "contact_id": id, "type": type, "points": points or 1, "occurred_at": at}
            for account, id in some
            for type, points in signals
        ]
        world.db["intent_signals"].insert_many(rows)
    random.shuffle(ids)
    return ids


def _bare(ours: float, floor: float) -> Row:
    total = ACCOUNTS * CONTACTS
    return Row(
        f"intent decay of {total:,} contacts of {ACCOUNTS:,} accounts, sweep to last slot",
        f"{total / ours:,.0f} contacts/s",
        f"{total / floor:,.0f} contacts/s: bare bulk_write of the same updates, {BATCH:,} at a time",
        f"{floor / ours:.2f}",
        "≥ 0.3",
        "the floor reads no signals",
    )


def _flat(few: float, many: float) -> Row:
    small, large = few / FEW_ACCOUNTS, many / ACCOUNTS
    return Row(
        f"intent decay per account, {CONTACTS} contacts each",
        f"{large * 1000:.1f} ms with {ACCOUNTS:,} accounts",
        f"{small * 1000:.1f} ms with {FEW_ACCOUNTS}",
        f"{large / small:.2f}",
        "≤ 1.2",
    )


def _idle(servers: Mapping[str, str]) -> Row:
    given = environment(servers, "bench_idle")
    world = World(given)
    _contacts(world, 1)
    world.db["_accounts"].insert_many([{"_id": ObjectId(), "active": True} for _ in range(ACCOUNTS)])
    seconds, queries = asyncio.run(_looks(given))
    world.close()
    return Row(
        f"a tick of all {len(JOBS)} jobs without a due slot, {ACCOUNTS:,} accounts",
        f"{seconds * 1000:.0f} ms",
        f"{queries} queries",
        f"{seconds / 0.2:.2f} of 200 ms",
        "≤ 200 ms, ≤ 50 queries",
        f"median of {LOOKS}",
    )


async def _looks(given: Mapping[str, str]) -> tuple[float, int]:
    configured = settings.from_environment(given)
    async with workers.open_app(configured) as connected:
        for job in JOBS:
            scope = connected.with_repos(JobRepos.open)
            rows = [
                {"_id": unit.id, "job": job.name, "account_id": ObjectId(unit.account), "state": "done"}
                | {"slot": unit.id.split(":", 2)[2]}
                for unit in await sweep.find(job, scope)
            ]
            await connected.database["cron_slots"].insert_many(rows)
        seconds = []
        for _ in range(LOOKS):
            scope = connected.with_repos(JobRepos.open)  # so that accounts are read again
            began = time.perf_counter()
            found = await asyncio.gather(*(sweep.find(job, scope) for job in JOBS))
            seconds.append(time.perf_counter() - began)
            assert not any(found)
        with tempfile.NamedTemporaryFile("r") as log:
            failpoints.arm(None, log.name)
            scope = connected.with_repos(JobRepos.open)
            await asyncio.gather(*(sweep.find(job, scope) for job in JOBS))
            failpoints.disarm()
            return median(seconds), log.read().count(" before")
