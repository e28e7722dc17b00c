"""Lead pipelines: (a) a crowd of leads against a bare bulk_write, the hand-over from action to action, and waits that
end at once; (b) the same crowd, twice as large and a million with `--large`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from bson import ObjectId
from pymongo import InsertOne, UpdateOne

from bench.lead_crowd import enter, insert_leads, percentile
from bench.program import create_indexes, environment, peak_megabytes, run_once, running_daemon, wait_until
from bench.row import Row
from tests.support.leads import action, stage, template
from tests.support.world import World

MANY, LARGER, LARGEST = 16_000, 32_000, 1_000_000
ROUNDS = 3
BATCH = 1000
ACTIONS = 4
SINGLE = 60
"""Leads that go through a stage one by one, in an idle daemon."""
WARM_UP = 5
LOOK_SECONDS = 0.2

Document = dict[str, Any]


@dataclass(frozen=True)
class Crowd:
    """What a crowd of leads took: seconds, megabytes at their peak, and connections to MongoDB at their most."""

    leads: int
    seconds: float
    megabytes: float
    connections: int

    @property
    def actions_per_second(self) -> float:
        return self.leads * ACTIONS / self.seconds


def run(servers: Mapping[str, str]) -> list[Row]:
    return [*_crowds(servers), *_hand_overs(servers), _waits(servers)]


def _crowds(servers: Mapping[str, str]) -> list[Row]:
    rounds = [_round(environment(servers, f"bench_leads{n}")) for n in range(ROUNDS)]
    ours = median(crowd.actions_per_second for crowd, _ in rounds)
    floor = median(MANY * ACTIONS / seconds for _, seconds in rounds)
    ratios = sorted(seconds / crowd.seconds for crowd, seconds in rounds)
    largest = max((crowd for crowd, _ in rounds), key=lambda crowd: crowd.megabytes)
    first = Row(
        f"{MANY:,} leads entered at once, note → add_tag → owner → move, entry to last mark",
        f"{ours:,.0f} actions/s",
        f"{floor:,.0f} actions/s: bare bulk_write of the documents that this leaves, {BATCH:,} at a time",
        f"{median(ratios):.2f}",
        "≥ 0.3, ≥ 2,000/s",
        f"ratios of {ROUNDS} rounds: {', '.join(f'{one:.2f}' for one in ratios)}; peak RSS {largest.megabytes:.0f} MB "
        f"(≤ 300), at most {max(crowd.connections for crowd, _ in rounds)} connections to MongoDB",
    )
    sizes = [LARGER, LARGEST] if "--large" in sys.argv else [LARGER]
    return [first, *(_larger(environment(servers, f"bench_leads_{size}"), size, ours) for size in sizes)]


def _larger(settings: Mapping[str, str], size: int, usual: float) -> Row:
    world = World(settings)
    crowd = _crowd(world, size)
    world.db.client.drop_database(world.db)
    world.close()
    cost = usual / crowd.actions_per_second
    return Row(
        f"the same with {size:,} leads, cost of an action",
        f"{1e6 / crowd.actions_per_second:,.0f} µs",
        f"{1e6 / usual:,.0f} µs with {MANY:,}",
        f"{cost:.2f}",
        "≤ 1.2",
        f"{crowd.actions_per_second:,.0f} actions/s; peak RSS {crowd.megabytes:.0f} MB, at most {crowd.connections} "
        "connections to MongoDB",
    )


def _round(settings: Mapping[str, str]) -> tuple[Crowd, float]:
    """What ours took, and the seconds of the floor, on the same servers and indexes."""
    world = World(settings)
    crowd = _crowd(world, MANY)
    floor = _floor(world)
    world.db.client.drop_database(world.db)
    world.close()
    return crowd, floor


def _crowd(world: World, count: int) -> Crowd:
    create_indexes(world.environment)
    there = stage(world)
    changes = [action("add_tag", tag="hot"), action("owner", owner_id=str(world.user))]
    here = stage(world, action("note", note="Seen"), *changes, action("move", stage_id=there))
    enter(world, here, insert_leads(world, count))
    connections = _Connections(world)
    ran = run_once(world.environment, connections.look, "leads.actions")
    arrived = {"stage_id": there, "status": "completed"}
    assert world.db["lead_stages"].count_documents(arrived) == count, "not all leads have arrived"
    assert world.db["lead_stage_actions"].count_documents({"status": "done"}) == count * ACTIONS
    return Crowd(count, ran.seconds, ran.peak_megabytes, connections.most)


class _Connections:
    """Counts the connections to MongoDB that were opened since it was made."""

    def __init__(self, world: World) -> None:
        self._world, self._looked_at, self.most = world, 0.0, 0
        self._before = self._open()

    def look(self) -> None:
        if time.monotonic() > self._looked_at + LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self.most = max(self.most, self._open() - self._before)

    def _open(self) -> int:
        return int(self._world.db.command("serverStatus")["connections"]["current"])


def _floor(world: World) -> float:
    """Seconds of a bare bulk_write that leaves the documents that the run left: rows, notes and entries are inserted
    under new ids, leads are updated. Each is written once."""
    new: dict[Any, ObjectId] = {}

    def insertions(collection: str, reference: str | None = None) -> Iterator[InsertOne[Document]]:
        for one in world.db[collection].find():
            changed = {reference: new.setdefault(one[reference], ObjectId())} if reference else {}
            yield InsertOne({**one, "_id": ObjectId(), **changed})

    def updates() -> Iterator[UpdateOne]:
        for one in world.db["leads"].find({}, {"tags": 1, "owner": 1, "stage_id": 1, "lead_stage_id": 1}):
            yield UpdateOne({"_id": one.pop("_id")}, {"$set": {**one, "engine_sequence": 3}})

    writes: dict[str, list[Any]] = {
        "lead_stage_actions": list(insertions("lead_stage_actions", "lead_stage_id")),
        "notes": list(insertions("notes")),
        "lead_stages": list(insertions("lead_stages")),
        "leads": list(updates()),
    }
    began = time.perf_counter()
    for collection, some in writes.items():
        for at in range(0, len(some), BATCH):
            world.db[collection].bulk_write(some[at : at + BATCH], ordered=False)
    return time.perf_counter() - began


def _hand_overs(servers: Mapping[str, str]) -> list[Row]:
    settings = environment(servers, "bench_hand_over")
    world = World(settings)
    create_indexes(settings)
    email = action("email", email_template_id=template(world))
    steps = [action("note", note="x"), action("add_tag", tag="x"), action("add_tag", tag="y"), email]
    here = stage(world, *steps, action("note", note="y"), email, action("add_tag", tag="z"))
    with running_daemon(settings):
        for lead in insert_leads(world, WARM_UP + SINGLE):
            _through(world, here, lead)
    rows = list(world.db["lead_stage_actions"].find().sort([("_id", 1)]))
    world.close()
    by_lead: dict[Any, list[Document]] = {}
    for row in rows:
        by_lead.setdefault(row["lead_stage_id"], []).append(row)
    runs = [sorted(some, key=lambda row: int(row["sequence_number"])) for some in by_lead.values()]
    runs = sorted(runs, key=lambda some: some[0]["performed_at"])[WARM_UP:]
    pairs = [pair for some in runs for pair in pairwise(some)]
    within = [_ms(one["performed_at"], other["performed_at"]) for one, other in pairs if not _changes_lane(one, other)]
    between = [_ms(one["performed_at"], other["started_at"]) for one, other in pairs if _changes_lane(one, other)]
    return [
        _hand_over("within a lane", within, "from end to end, so with the work of the next action"),
        _hand_over("from lane to lane", between, "note → email → note → email → add_tag: end to claim"),
    ]


def _hand_over(where: str, milliseconds: list[float], note: str) -> Row:
    half, most = percentile(milliseconds, 0.5), percentile(milliseconds, 0.99)
    return Row(
        f"from an action's end to the next one's start, idle daemon, {where}, p50 / p99",
        f"{half:.0f} / {most:.0f} ms",
        "the sweep's 30 s",
        f"{half / 30_000:.5f}",
        "≤ 10 / ≤ 50 ms",
        f"{len(milliseconds)} hand-overs of {SINGLE} leads, one at a time; {note}",
    )


def _through(world: World, stage_id: ObjectId, lead: ObjectId) -> None:
    enter(world, stage_id, [lead])
    wait_until(lambda: world.db["lead_stages"].find_one({"lead_id": lead, "status": "completed"}), poll=0.02)
    time.sleep(0.3)  # leads come one by one, not on the heels of the last one


def _changes_lane(one: Document, other: Document) -> bool:
    return "email" in (one["type"], other["type"])


def _ms(one: Any, other: Any) -> float:
    return float((other - one).total_seconds()) * 1000


def _waits(servers: Mapping[str, str]) -> Row:
    settings = environment(servers, "bench_waits")
    world = World(settings)
    create_indexes(settings)
    here = stage(world, action("note", note="x"), action("wait", seconds=1), action("add_tag", tag="x"))
    leads = insert_leads(world, MANY)
    connections = _Connections(world)
    began = time.perf_counter()
    with running_daemon(settings) as daemon:
        time.sleep(3)
        began = time.perf_counter()
        enter(world, here, leads)
        wait_until(lambda: _all_completed(world, connections), 300, poll=0.2)
        seconds, megabytes = time.perf_counter() - began, peak_megabytes(daemon.pid)
    waits = world.db["lead_stage_actions"].find({"type": "wait"}, {"perform_at": 1, "started_at": 1})
    late = [_ms(one["perform_at"], one["started_at"]) / 1000 for one in waits]
    assert min(late) >= 0, "a wait ended early"
    world.close()
    return Row(
        f"{MANY:,} leads at once through note → wait 1 s → add_tag in a daemon: due to start, p99",
        f"{percentile(late, 0.99):.2f} s",
        "1 s",
        f"{percentile(late, 0.99):.2f}",
        "≤ 1",
        f"p50 {percentile(late, 0.5):.2f} s, longest {max(late):.2f} s; {seconds:.1f} s for all; peak RSS "
        f"{megabytes:.0f} MB (≤ 300), at most {connections.most} connections to MongoDB",
    )


def _all_completed(world: World, connections: _Connections) -> bool:
    connections.look()
    return world.db["lead_stages"].count_documents({"status": "completed"}) == MANY
