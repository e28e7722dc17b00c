"""Scheduled jobs: intent decay against a bare bulk write, each job's cost per account, a tick with nothing due."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from statistics import median

from bson import ObjectId
from pymongo import UpdateOne

from bench.job_crowd import BATCH, CONTACTS, insert_crowd
from bench.program import Run, create_indexes, environment, run_once
from bench.row import Row
from pipeline_engine import failpoints, settings, workers
from pipeline_engine.domain.jobs import sweep
from pipeline_engine.domain.jobs.table import JOBS
from pipeline_engine.repos.job_repos import JobRepos
from tests.support.world import World

ACCOUNTS, FEW_ACCOUNTS = 1000, 100
LOOKS = 9
DECAY = "crm.intent_decay"
NAMES = (DECAY, "crm.lifecycle", "crm.lead_recycling", "crm.meeting_prep", "crm.stale_deals", "crm.daily_insight")
"""The jobs that need no service outside."""

Runs = Mapping[str, Run]


def run(servers: Mapping[str, str]) -> list[Row]:
    few, _ = _runs(environment(servers, "bench_jobs1"), FEW_ACCOUNTS)
    many, floor = _runs(environment(servers, "bench_jobs2"), ACCOUNTS)
    queries = _queries(environment(servers, "bench_jobs3"))
    per_job = [_flat(name, few[name], many[name], queries[name]) for name in NAMES]
    return [_bare(many[DECAY].seconds, floor), *per_job, _idle(servers)]


def _runs(given: Mapping[str, str], accounts: int) -> tuple[Runs, float]:
    """What each job takes for so many accounts, and the seconds of a bare bulk write of the updates of intent decay."""
    world, total = World(given), accounts * CONTACTS
    create_indexes(given)
    ids = insert_crowd(world, accounts)
    runs = {}
    for name in NAMES:
        runs[name] = run_once(given, sweep=name)
        if name == DECAY:
            decayed = {"intent_score": 44.0, "intent_level": "medium"}
            assert world.db["contacts"].count_documents(decayed) == total
    floor = _floor(world, ids)
    world.close()
    return runs, floor


def _floor(world: World, ids: Sequence[tuple[ObjectId, ObjectId]]) -> float:
    """The seconds of a bare `bulk_write` of what intent decay has set, in random order."""
    shuffled = random.sample(ids, len(ids))
    began = time.perf_counter()
    for at in range(0, len(shuffled), BATCH):
        change = {"intent_score": 43.0, "intent_level": "medium", "lead_score": 59.0, "lead_grade": "B"}
        some = shuffled[at : at + BATCH]
        writes = [UpdateOne({"_id": id, "account_id": account}, {"$set": change}) for account, id in some]
        world.db["contacts"].bulk_write(writes, ordered=False)
    return time.perf_counter() - began


def _queries(given: Mapping[str, str]) -> dict[str, float]:
    """{job: calls to MongoDB per account}"""
    world = World(given)
    create_indexes(given)
    insert_crowd(world, FEW_ACCOUNTS)
    world.close()
    queries = {}
    for name in NAMES:
        with tempfile.NamedTemporaryFile("r") as log:
            run_once({**given, "FAULT_TESTING": "1", "FAULT_LOG": log.name}, sweep=name)
            calls = [line for line in log if line.startswith("mongo.") and line.endswith(" before\n")]
        queries[name] = len(calls) / FEW_ACCOUNTS
    return queries


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


def _flat(name: str, few: Run, many: Run, queries: float) -> Row:
    small, large = few.seconds / FEW_ACCOUNTS, many.seconds / ACCOUNTS
    return Row(
        f"{name} per account of {CONTACTS} contacts, {ACCOUNTS:,} accounts",
        f"{large * 1000:.1f} ms",
        f"{small * 1000:.1f} ms with {FEW_ACCOUNTS}",
        f"{large / small:.2f}",
        "≤ 1.2",
        f"{many.seconds:.1f} s in all, {queries:.1f} calls to MongoDB per account, {many.peak_megabytes:.0f} MB",
    )


def _idle(servers: Mapping[str, str]) -> Row:
    given = environment(servers, "bench_idle")
    world = World(given)
    create_indexes(given)
    world.db["_accounts"].delete_many({})
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
            if rows:
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
