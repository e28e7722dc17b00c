"""Entries that no job can work off are set aside with a reason, and hold up no other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads import batch, sweep
from tests.support.engine_app import EngineApp
from tests.support.fuzz.strangers import ODD_IDS
from tests.support.leads import action, entered, entry, later, lead, lead_of, stage, work
from tests.support.world import World


@pytest.mark.parametrize(
    "strange",
    [
        {"account_id": ["x"]},
        {"account_id": "x" * 24},
        {"current_lane": "post"},
        {"perform_at": "soon"},
        {"perform_at": None},
    ],
    ids=str,
)
async def test_an_entry_that_no_job_can_work_off_is_set_aside(
    world: World, app: EngineApp, strange: dict[str, Any]
) -> None:
    here = stage(world, action("wait", seconds=1), action("add_tag", tag="x"))
    _, entry_id = entered(world, here)
    _, sound = entered(world, here)
    await work(app, world, rounds=1)
    world.db["lead_stages"].update_one({"_id": entry_id}, {"$set": {"perform_at": datetime.now(UTC), **strange}})

    await sweep.find(app)
    await later(app, world, seconds=2)

    assert [one["document_id"] for one in world.db["quarantine"].find()] == [entry_id]
    assert entry(world, sound)["status"] == "completed"
    assert await sweep.find(app) == []


async def test_an_entry_under_a_strange_id_is_set_aside(world: World, app: EngineApp) -> None:
    id, _ = entered(world, stage(world, action("add_tag", tag="x")))
    odd = {"account_id": world.account, "lead_id": lead(world), "stage_id": ObjectId(), "status": "entering"}
    world.db["lead_stages"].insert_one({"_id": {"a": 1}, **odd})

    await work(app, world)

    assert [one["document_id"] for one in world.db["quarantine"].find()] == [{"a": 1}]
    assert lead_of(world, id)["tags"] == ["x"]


@pytest.mark.parametrize("strange", [{"current_lane": ["x"]}, {"perform_at": "soon"}, {"account_id": []}], ids=str)
@pytest.mark.parametrize("odd", ODD_IDS, ids=repr)
async def test_an_entry_with_a_strange_id_and_more_is_set_aside(
    world: World, app: EngineApp, odd: Any, strange: dict[str, Any]
) -> None:
    now = datetime.now(UTC)
    own = {"account_id": world.account, "lead_id": lead(world), "stage_id": ObjectId(), "status": "active"}
    place = {"current_lane": "internal", "current_type": "note", "current_sequence": 1, "perform_at": now}
    world.db["lead_stages"].insert_one({"_id": odd, **own, **place, **strange})

    await sweep.find(app)

    assert world.db["quarantine"].count_documents({}) == 1
    assert await sweep.find(app) == []


async def test_one_on_which_our_code_fails_holds_up_no_other(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = stage(world, action("add_tag", tag="x"))
    entries = [entered(world, here)[1] for _ in range(4)]
    poison, measure = entries[2], batch._measure

    def failing(slice: Any, some: Any) -> None:
        if any(one.id == poison for one in some):
            raise KeyError("missing")
        measure(slice, some)

    monkeypatch.setattr(batch, "_measure", failing)
    await work(app, world)

    assert [one["document_id"] for one in world.db["quarantine"].find()] == [poison]
    assert [entry(world, one)["status"] for one in entries] == ["completed"] * 2 + ["active", "completed"]
