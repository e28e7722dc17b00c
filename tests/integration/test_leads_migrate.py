"""Edits of a stage brought to the leads that are on their way through it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads.migration import migrate, preview, target_of
from pipeline_engine.errors import Permanent
from tests.support.engine_app import EngineApp
from tests.support.leads import Document, action, entered, entry, later, put_actions, rows, stage, statuses, work
from tests.support.world import World

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOTE, WAIT = action("note", note="Seen"), action("wait", seconds=3600)


def edit(world: World, stage_id: ObjectId, *actions: Document) -> None:
    """The stage has these actions from now on, numbered from 1."""
    world.db["pipeline_stage_actions"].delete_many({"stage_id": stage_id})
    put_actions(world, stage_id, *actions)


def texts(world: World, lead_id: ObjectId) -> list[str]:
    """Of the lead's notes, in the order of the alphabet: their ids are derived."""
    return sorted(one["text"] for one in world.db["notes"].find({"lead_id": lead_id}))


@pytest.mark.covers("LP-X4")
async def test_without_migration_an_edit_counts_for_later_entries_only(app: EngineApp, world: World) -> None:
    here = stage(world, WAIT, action("note", note="old"))
    early, _ = entered(world, here)
    await work(app, world)
    edit(world, here, action("note", note="new"))
    late, _ = entered(world, here)
    await work(app, world)
    await later(app, world, hours=2)

    assert (texts(world, early), texts(world, late)) == (["old"], ["new"])


@pytest.mark.covers("LP-X4")
async def test_a_lead_stays_at_an_unchanged_action_and_has_the_new_ones_ahead(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE, WAIT, action("note", note="old"), NOTE)
    lead, run = entered(world, here)
    await work(app, world)
    due = entry(world, run)["perform_at"]
    edit(world, here, action("note", note="too late"), WAIT, action("note", note="new"))

    (place,) = await preview(app, here)
    assert (place.sequence, place.type, place.leads, place.stays) == (2, "wait", 1, True)
    assert [row["config"] for row in rows(world, run)][2] == {"note": "old"}
    done = await migrate(app, here)

    assert (done.moved, done.busy) == (1, 0)
    assert (entry(world, run)["perform_at"], entry(world, run)["lease_owner"]) == (due, None)
    assert statuses(world, run) == ["done", "pending", "waiting"]
    await later(app, world, hours=2)
    assert texts(world, lead) == ["Seen", "new"]
    assert entry(world, run)["status"] == "completed"


async def test_a_changed_action_begins_anew(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE, WAIT, NOTE)
    lead, run = entered(world, here)
    await work(app, world)
    edit(world, here, NOTE, action("note", note="instead of waiting"))

    (place,) = await preview(app, here)
    assert place.target is not None
    assert (place.target["type"], place.stays) == ("note", False)
    await migrate(app, here)
    assert statuses(world, run) == ["done", "pending"]
    await work(app, world)

    assert texts(world, lead) == ["Seen", "instead of waiting"]
    assert (entry(world, run)["status"], statuses(world, run)) == ("completed", ["done", "done"])


async def test_a_changed_wait_counts_from_the_migration(app: EngineApp, world: World) -> None:
    here = stage(world, WAIT)
    _, run = entered(world, here)
    await work(app, world)
    edit(world, here, action("wait", seconds=60))
    await migrate(app, here)

    assert timedelta(0) < entry(world, run)["perform_at"] - datetime.now(UTC) <= timedelta(seconds=61)


async def test_leads_behind_the_last_action_are_completed(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE, WAIT, NOTE)
    lead, run = entered(world, here)
    await work(app, world)
    edit(world, here, NOTE)

    (place,) = await preview(app, here)
    assert place.target is None
    await migrate(app, here)
    await work(app, world)
    assert (entry(world, run)["status"], statuses(world, run)) == ("completed", ["done"])
    assert texts(world, lead) == ["Seen"]


async def test_places_are_counted_and_others_are_left_alone(app: EngineApp, world: World) -> None:
    here, elsewhere = stage(world, WAIT, WAIT), stage(world, WAIT)
    runs = [entered(world, here)[1] for _ in range(3)]
    _, other = entered(world, elsewhere)
    await work(app, world)
    world.db["lead_stages"].update_one({"_id": runs[0]}, {"$set": {"perform_at": LONG_AGO}})
    await work(app, world)
    before = entry(world, other)
    held = {"lease_owner": "host:1:aa", "lease_until": datetime.now(UTC) + timedelta(minutes=1)}
    world.db["lead_stages"].update_one({"_id": runs[2]}, {"$set": held})
    edit(world, here, NOTE, WAIT)

    assert [(place.sequence, place.leads) for place in await preview(app, here)] == [(1, 2), (2, 1)]
    done = await migrate(app, here)
    assert (done.moved, done.busy) == (2, 1)
    assert entry(world, other) == before
    assert [row["type"] for row in rows(world, runs[2])] == ["wait", "wait"]
    assert [row["type"] for row in rows(world, runs[1])] == ["note", "wait"]


async def test_migrating_twice_changes_nothing_more(app: EngineApp, world: World) -> None:
    here = stage(world, WAIT, NOTE)
    _, run = entered(world, here)
    await work(app, world)
    edit(world, here, WAIT, WAIT)
    await migrate(app, here)
    first = [{**row, "updatedAt": None, "createdAt": None} for row in rows(world, run)]
    await migrate(app, here)

    assert [{**row, "updatedAt": None, "createdAt": None} for row in rows(world, run)] == first


async def test_an_unknown_stage_is_refused(app: EngineApp) -> None:
    for command in (preview, migrate):
        with pytest.raises(Permanent, match="there is no stage"):
            await command(app, ObjectId())


def test_a_lead_keeps_its_place_by_number() -> None:
    ten, twenty = {"sequence_number": 10, **NOTE}, {"sequence_number": 20, **WAIT}
    assert target_of(ten, 10, [ten, twenty]) == (ten, True)
    assert target_of({**ten, "type": "sms"}, 10, [ten, twenty]) == (ten, False)
    assert target_of({**ten, "sequence_number": 15}, 15, [ten, twenty]) == (twenty, False)
    assert target_of(twenty, 20, [ten]) == (None, False)
    assert target_of(None, 5, [ten]) == (ten, False)
