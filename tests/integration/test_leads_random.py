"""Random walks over all that can happen to leads; after every step the runs are serial, early never, and all end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads import control, pause_control
from pipeline_engine.domain.leads.migration import migrate
from pipeline_engine.domain.leads.pauses import PausedWaits
from pipeline_engine.errors import Permanent
from tests.support.engine_app import EngineApp
from tests.support.leads import Document, action, lead, put_actions, reply, stage, work
from tests.support.world import World

STEPS = 25
OPEN_ENTRIES = ("entering", "active")
OPEN_ROWS = ("waiting", "pending", "running", "waiting_response", "waiting_task")


class Walk:
    """Three leads, three stages, and one random step after another."""

    def __init__(self, app: EngineApp, world: World, seed: int) -> None:
        self.app, self.world, self.random = app, world, Random(seed)  # noqa: S311
        self.leads = [lead(world) for _ in range(3)]
        self.stages = [stage(world) for _ in range(3)]
        for id in self.stages:
            self.edit(id)
        self.steps: list[Callable[[], Awaitable[object] | None]] = [
            *[self.enter] * 4,
            *[self.wait] * 4,
            *[self.reply] * 2,
            *[self.die] * 2,
            lambda: self.edit(self.random.choice(self.stages)),
            lambda: self.try_to(pause_control.pause(self.app, "stage", self.a_stage, self.waits, None)),
            lambda: self.try_to(pause_control.resume(self.app, "stage", self.a_stage)),
            lambda: self.try_to(control.retry(self.app, self.a_lead)),
            lambda: self.try_to(control.skip(self.app, self.a_lead)),
            lambda: self.try_to(control.cancel(self.app, self.a_lead)),
            lambda: migrate(self.app, self.a_stage),
        ]

    @property
    def a_lead(self) -> ObjectId:
        return self.random.choice(self.leads)

    @property
    def a_stage(self) -> ObjectId:
        return self.random.choice(self.stages)

    @property
    def waits(self) -> PausedWaits:
        return "keep" if self.random.random() < 0.5 else "extend"

    async def step(self) -> None:
        done = self.random.choice(self.steps)()
        if done is not None:
            await done
        if self.random.random() < 0.7:
            await work(self.app, self.world, rounds=1)

    async def enter(self) -> None:
        await control.enter(self.app, self.a_lead, self.a_stage)

    async def wait(self) -> None:
        await self.let_pass(timedelta(minutes=self.random.choice([1, 10, 90])))

    async def let_pass(self, time: timedelta) -> None:
        self.app.clock.set(self.app.clock.now() + time)
        await work(self.app, self.world, rounds=2)

    def reply(self) -> None:
        reply(self.world, self.a_lead, auto=self.random.random() < 0.3, received_at=self.app.clock.now())

    def die(self) -> None:
        """A process dies that holds a run."""
        dead = {"lease_owner": "host:1:dead", "lease_until": datetime.now(UTC) - timedelta(minutes=1)}
        query = {"status": {"$in": OPEN_ENTRIES}, "lead_id": self.a_lead}
        self.world.db["lead_stages"].update_one(query, {"$set": dead, "$inc": {"token": 1}})

    async def try_to(self, command: Awaitable[object]) -> None:
        try:
            await command
        except Permanent as refused:
            if refused.code not in ("ended", "busy", "not_failed", "not_paused"):
                raise

    def edit(self, id: ObjectId) -> None:
        moves = action("move", stage_id=self.random.choice(self.stages)) if hasattr(self, "steps") else NOTE
        choice = [NOTE, NOTE, action("add_tag", tag="x"), WAIT, WAIT, REPLY, BROKEN, moves]
        self.world.db["pipeline_stage_actions"].delete_many({"stage_id": id})
        put_actions(self.world, id, *self.random.sample(choice, 4))

    async def finish(self) -> None:
        """Time passes until no run is open any more."""
        for id in self.stages:
            await self.try_to(pause_control.resume(self.app, "stage", id))
        for _ in range(30):
            await self.let_pass(timedelta(hours=2))
            if not self.world.db["lead_stages"].count_documents({"status": {"$in": OPEN_ENTRIES}}):
                return
        raise AssertionError("a run does not end")


NOTE, WAIT, BROKEN = action("note", note="Seen"), action("wait", seconds=1200), action("owner", owner_id="me")
REPLY = action("wait_for_response", channel="any", timeout_seconds=1800)


def check(world: World) -> None:
    for lead_id in world.db["leads"].distinct("_id"):
        entries = list(world.db["lead_stages"].find({"lead_id": lead_id}))
        assert sum(one["status"] == "active" for one in entries) <= 1
        for one in entries:
            check_entry(one, list(world.db["lead_stage_actions"].find({"lead_stage_id": one["_id"]})))


def check_entry(entry: Document, rows: list[Document]) -> None:
    rows.sort(key=lambda row: int(row["sequence_number"]))
    performed = [row["performed_at"] for row in rows if row.get("performed_at")]
    assert performed == sorted(performed), entry
    for row in rows:
        if row["type"] == "wait" and row["status"] == "done":
            assert row["performed_at"] >= row["perform_at"], row
    states = {row["sequence_number"]: row["status"] for row in rows}
    if entry["status"] in OPEN_ENTRIES or entry.get("lease_owner"):
        current = entry.get("current_sequence") or 0
        assert all(status not in OPEN_ROWS for n, status in states.items() if n < current) or entry.get("lease_owner")
        assert all(status in ("waiting", "cancelled") for n, status in states.items() if n > current)
    else:
        assert not set(states.values()) & set(OPEN_ROWS), entry


@pytest.mark.covers("LP-03", "LP-15", "LP-X2", "LP-X3")
@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.slow), 1])
async def test_whatever_happens_runs_stay_serial_and_end(app: EngineApp, world: World, seed: int) -> None:
    walk = Walk(app, world, seed)
    for _ in range(STEPS):
        await walk.step()
        check(world)
    await walk.finish()
    check(world)

    notes = {one["_id"]: one for one in world.db["notes"].find()}
    done = world.db["lead_stage_actions"].count_documents({"type": "note", "status": "done"})
    assert len(notes) >= done
    assert world.db["lead_stages"].count_documents({"lease_owner": {"$gt": ""}}) == 0
