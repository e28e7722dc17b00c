"""Lead pipelines: (c) the sweep against the seed's loop over all leads, (d) fairness between accounts, (e) the sweep
among many actions that have ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from bson import ObjectId

from bench.lead_crowd import enter, insert, insert_leads, percentile
from bench.program import REST_SECONDS, create_indexes, environment, running_daemon, wait_until
from bench.row import Row
from pipeline_engine import settings as engine_settings
from pipeline_engine import workers
from pipeline_engine.domain.leads import sweep
from pipeline_engine.repos.lead_repos import LeadRepos
from tests.support.leads import action, stage
from tests.support.world import World

MANY, DUE = 16_000, 100
ACTIONS = 4
FINISHED = 1_000_000
LOOKS = 15
NEIGHBOURS, WAVES = 50, 3
AIM_SECONDS = 2.0

Document = dict[str, Any]


def run(servers: Mapping[str, str]) -> list[Row]:
    return [_seed(servers), _fairness(servers), _finished(servers)]


def _seed(servers: Mapping[str, str]) -> Row:
    world = World(environment(servers, "bench_seed"))
    create_indexes(world.environment)
    here = stage(world, *[action("note", note="x")] * ACTIONS)
    leads = insert_leads(world, MANY)
    _stand(world, here, leads[DUE:], ended=True)
    _stand(world, here, leads[:DUE], ended=False)
    ours = asyncio.run(_looks(world))
    began = time.perf_counter()
    found = sum(1 for _ in _seed_loop(world))
    seconds = time.perf_counter() - began
    assert found == DUE, f"the seed's loop finds {found}"
    world.close()
    return Row(
        f"a look for the {DUE} due actions of {MANY:,} leads",
        f"{ours * 1000:.1f} ms",
        f"{seconds:.1f} s: the seed's loop, for each lead, for each stage, look up the last action",
        f"{seconds / ours:,.0f}",
        "≥ 100",
        f"median of {LOOKS}; the loop has the same indexes",
    )


def _seed_loop(world: World) -> Iterator[Document]:
    """The loop of the seed, as it stands there: which action is to be performed on which lead."""
    db = world.db
    for lead in db["leads"].find({"account_id": world.account}):
        for one in db["lead_stages"].find({"account_id": world.account, "lead_id": lead["_id"]}):
            done = {"lead_stage_id": one["_id"], "status": "done"}
            last = db["lead_stage_actions"].find_one(done, sort=[("sequence_number", -1)])
            after = {"$gt": last["sequence_number"] if last else 0}
            place = {"account_id": world.account, "stage_id": one["stage_id"], "sequence_number": after}
            if next_one := db["pipeline_stage_actions"].find_one(place, sort=[("sequence_number", 1)]):
                yield next_one


def _stand(world: World, stage_id: ObjectId, leads: Sequence[ObjectId], ended: bool) -> None:
    """Entries of these leads with all actions done, or with the last one due."""
    own = {"account_id": world.account, "stage_id": stage_id}
    then = datetime.now(UTC) - timedelta(minutes=1)
    place = {"current_sequence": ACTIONS, "current_type": "note", "current_lane": "internal"}
    state = {"status": "completed"} if ended else {"status": "active", "current_status": "pending", "perform_at": then}
    entries = {ObjectId(): lead for lead in leads}
    insert(
        world, "lead_stages", ({"_id": id, **own, "lead_id": lead, **place, **state} for id, lead in entries.items())
    )
    rows = (
        {**own, "lead_stage_id": id, "lead_id": lead, "sequence_number": n, "type": "note", "config": {"note": "x"}}
        | ({"status": "done", "performed_at": then} if ended or n < ACTIONS else {"status": "pending"})
        for id, lead in entries.items()
        for n in range(1, ACTIONS + 1)
    )
    insert(world, "lead_stage_actions", rows)


async def _looks(world: World) -> float:
    """Median seconds of the sweep's questions, as the daemon asks them."""
    async with workers.open_app(engine_settings.from_environment(world.environment)) as app:
        seconds = []
        for _ in range(LOOKS):
            began = time.perf_counter()
            found = await sweep.find(app.with_repos(LeadRepos.open))
            seconds.append(time.perf_counter() - began)
            assert [unit.account for unit in found] == [str(world.account)]
    return median(seconds)


def _finished(servers: Mapping[str, str]) -> Row:
    few, many = (World(environment(servers, name)) for name in ("bench_finished1", "bench_finished2"))
    seconds = []
    for world, finished in ((few, 0), (many, FINISHED)):
        create_indexes(world.environment)
        here = stage(world, *[action("note", note="x")] * ACTIONS)
        _stand(world, here, [ObjectId() for _ in range(finished // ACTIONS)], ended=True)
        _stand(world, here, insert_leads(world, DUE), ended=False)
        seconds.append(asyncio.run(_looks(world)))
        world.db.client.drop_database(world.db)
        world.close()
    return Row(
        f"a look for {DUE} due actions among {FINISHED:,} that have ended",
        f"{seconds[1] * 1000:.1f} ms",
        f"{seconds[0] * 1000:.1f} ms among none",
        f"{seconds[1] / seconds[0]:.2f}",
        "≤ 1.5",
        f"median of {LOOKS}",
    )


def _fairness(servers: Mapping[str, str]) -> Row:
    settings = environment(servers, "bench_leads_fair")
    big = World(settings)
    create_indexes(settings)
    crowd = stage(big, action("note", note="x"), action("add_tag", tag="x"), action("owner", owner_id=str(big.user)))
    leads = insert_leads(big, MANY)
    small = [big.neighbour() for _ in range(NEIGHBOURS)]
    theirs = {world: (stage(world, action("add_tag", tag="y")), insert_leads(world, WAVES)) for world in small}
    done = {"account_id": big.account, "status": "completed"}
    late: list[float] = []
    with running_daemon(settings):
        time.sleep(REST_SECONDS)
        enter(big, crowd, leads)
        wait_until(lambda: big.db["lead_stages"].find_one(done, projection=["_id"]))
        for wave in range(WAVES):
            entered_at = datetime.now(UTC)
            for world, (here, own) in theirs.items():
                enter(world, here, own[wave : wave + 1])
            accounts = [world.account for world in small]
            late += _until_acted(big, accounts, entered_at)
        left = MANY - big.db["lead_stages"].count_documents(done)
    for world in (big, *small):
        world.close()
    worst = percentile(late, 0.99)
    assert left, "the crowd had ended before the others"
    return Row(
        f"{NEIGHBOURS} accounts with one action each, beside one with {MANY:,} leads due",
        f"{worst:.2f} s from entering to the start, p99",
        f"{AIM_SECONDS:g} s",
        f"{worst / AIM_SECONDS:.2f}",
        "≤ 1",
        f"{WAVES} waves; p50 {percentile(late, 0.5):.2f} s, longest {max(late):.2f} s; the crowd had {left:,} left",
    )


def _until_acted(world: World, accounts: Sequence[ObjectId], since: datetime) -> list[float]:
    """Seconds from the entry of each account's lead to the start of its action."""
    theirs = {"account_id": {"$in": list(accounts)}, "entered_at": {"$gte": since - timedelta(milliseconds=1)}}
    ended = {**theirs, "status": "completed"}
    wait_until(lambda: world.db["lead_stages"].count_documents(ended) == len(accounts), poll=0.05)
    entered = {one["_id"]: one["entered_at"] for one in world.db["lead_stages"].find(ended)}
    acted = {"lead_stage_id": {"$in": list(entered)}, "started_at": {"$type": "date"}}
    wait_until(lambda: world.db["lead_stage_actions"].count_documents(acted) == len(accounts))
    started = world.db["lead_stage_actions"].find(acted)
    return [(one["started_at"] - entered[one["lead_stage_id"]]).total_seconds() for one in started]
