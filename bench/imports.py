"""(a) rows per second against a bare loop, (b) memory at 10,000 and 1,000,000 rows, (d) time to the first deal."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bson import ObjectId
from redis import Redis

from bench.program import Run, environment, run_once
from bench.row import Row
from bench.sample import MAPPINGS, STAGES, sample
from tests.support.world import World

ROWS = 100_000
ROUNDS = 3
FEW, MANY = 10_000, 1_000_000
PICKUPS = 20
BATCH = 1000

REST_SECONDS = 1.0
NOT_WORKED_OFF = {"$or": [{"status": {"$ne": "done"}}, {"onward.0": {"$exists": True}}]}
"""Matches CRM events that have not been consumed, or not been handed on."""


def run(servers: Mapping[str, str]) -> list[Row]:
    return [_throughput(servers), *_memory(servers), _first_deal(servers)]


def _throughput(servers: Mapping[str, str]) -> Row:
    data = sample(ROWS)
    ours, floors = [], []
    for n in range(ROUNDS):
        settings = environment(servers, f"bench_a{n}")
        ours.append(ROWS / _import(settings, data).seconds)
        floors.append(ROWS / _floor(settings, data))
    rate, floor = median(ours), median(floors)
    ratios = sorted(round(one / other, 2) for one, other in zip(ours, floors, strict=True))
    return Row(
        f"import of {ROWS:,} rows, end to end",
        f"{rate:,.0f} rows/s",
        f"{floor:,.0f} rows/s: bare loop, csv + insert_many of {BATCH:,}",
        f"{rate / floor:.2f}",
        "≥ 0.5",
        f"ratios of {ROUNDS} rounds: {', '.join(map(str, ratios))}",
    )


def _import(settings: Mapping[str, str], data: bytes, redis_peaks: list[int] | None = None) -> Run:
    world = World(settings)
    queue_id = world.queue(world.upload(f"bench/{ObjectId()}.csv", data), MAPPINGS)
    redis: Any = Redis.from_url(settings["REDIS_URL"])

    def watch() -> None:
        if redis_peaks is not None:
            redis_peaks.append(redis.info("memory")["used_memory"])

    run = run_once(settings, watch)
    assert world.import_of(queue_id)["status"] == "completed"
    redis.close()
    world.close()
    return run


def _floor(settings: Mapping[str, str], data: bytes) -> float:
    """Seconds that the same documents take with nothing around them."""
    world = World(settings)
    stages = {f"Stage {n}": ObjectId() for n in range(STAGES)}
    lists = ("followers", "automation_triggered", "skip_automations", "retry_automations")
    times = dict.fromkeys(("createdAt", "updatedAt", "automation_starts"), datetime.now(UTC))
    who = {"account_id": world.account, "pipeline_id": world.pipeline, "created_by": world.user, "owner": world.user}
    common = {**who, **times, **{name: [] for name in lists}, "tags": ["test"], "source": "csv"}
    fields = [(column, field) for column, field in MAPPINGS.items() if len(field) < 24 and field != "stage_id"]
    custom = [(column, field) for column, field in MAPPINGS.items() if len(field) == 24]
    import_id, batch = ObjectId(), []
    began = time.perf_counter()
    for n, row in enumerate(csv.DictReader(io.StringIO(data.decode()))):
        deal = {field: row[column] for column, field in fields} | {"value": float(row["Value"])}
        info = {field: row[column] for column, field in custom}
        own = {"stage_id": stages[row["Stage"]], "additional_info": info, "import_id": import_id, "import_row": n}
        batch.append({**deal, **common, **own})
        if len(batch) == BATCH:
            world.db["floor"].insert_many(batch)
            batch = []
    if batch:
        world.db["floor"].insert_many(batch)
    seconds = time.perf_counter() - began
    world.close()
    return seconds


def _memory(servers: Mapping[str, str]) -> list[Row]:
    few_redis: list[int] = []
    many_redis: list[int] = []
    few = _import(environment(servers, "bench_b1"), sample(FEW), few_redis)
    many = _import(environment(servers, "bench_b2"), sample(MANY), many_redis)
    small, large = max(few_redis) / 1e6, max(many_redis) / 1e6
    rows = Row(
        f"peak RSS of an import of {MANY:,} rows",
        f"{many.peak_megabytes:.0f} MB",
        f"{few.peak_megabytes:.0f} MB at {FEW:,} rows",
        f"{many.peak_megabytes / few.peak_megabytes:.2f}",
        "≤ 1.2, under 200 MB",
        f"{MANY / many.seconds:,.0f} rows/s over the million",
    )
    redis = Row(
        f"peak Redis memory of an import of {MANY:,} rows",
        f"{large:.2f} MB",
        f"{small:.2f} MB at {FEW:,} rows",
        f"{large / small:.2f}",
        "flat",
        "all of Redis, the empty server included",
    )
    return [rows, redis]


def _first_deal(servers: Mapping[str, str]) -> Row:
    settings = environment(servers, "bench_d")
    world = World(settings)
    key = world.upload("bench/first.csv", sample(100))
    arq = [str(Path(sys.executable).with_name("arq")), "pipeline_engine.WorkerSettings"]
    with subprocess.Popen(arq, env=settings) as daemon:
        waits = sorted(_wait_for_deal(world, key) for _ in range(PICKUPS + 3))[:-3]  # the first ones open connections
        daemon.terminate()
    world.close()
    return Row(
        "from inserting a pending import to its first deal",
        f"{median(waits) * 1000:.0f} ms",
        "the sweep's 5 s without change streams",
        f"{median(waits) / 5:.3f}",
        "< 200 ms",
        f"median of {PICKUPS}, slowest {waits[-1] * 1000:.0f} ms; the three slowest of the start left out",
    )


def _wait_for_deal(world: World, key: str) -> float:
    began = time.perf_counter()
    queue_id = world.queue(key, MAPPINGS)
    while not world.db["deals"].find_one({"import_id": queue_id}, projection=["_id"]):
        time.sleep(0.002)
        assert time.perf_counter() - began < 60
    seconds = time.perf_counter() - began
    while world.import_of(queue_id)["status"] != "completed":
        time.sleep(0.01)
    while world.db["crm_events"].find_one(NOT_WORKED_OFF):
        time.sleep(0.01)
    world.db["deals"].drop()
    time.sleep(REST_SECONDS)  # what follows from this import would take its share of the time of the next one
    return seconds
