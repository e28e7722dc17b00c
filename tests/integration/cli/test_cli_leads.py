"""`leads` and `explain lead` as commands."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.leads import action, entered, entry, lead, put_actions, stage
from tests.support.world import World

NOTE, WAIT = action("note", note="Seen"), action("wait", seconds=3600)


def row_of(text: str, id: ObjectId) -> list[str]:
    """The cells of the only row of a table with this id in it."""
    (line,) = [line for line in text.splitlines() if str(id) in line]
    return [cell.strip() for cell in line.split("│")[1:-1]]


@pytest.mark.covers("LP-15")
def test_a_lead_is_listed_shown_and_steered(engine: CommandLine, world: World) -> None:
    here = stage(world, NOTE, action("owner", owner_id="me"), WAIT)
    id, run = entered(world, here)
    assert engine("run-once", "leads.actions").returncode == 1

    listed = row_of(engine("leads", "list", "--status", "failed", "--stage", here).stdout, id)
    assert listed[1:6] == [str(world.account), str(here), "failed", "2 owner", ""]
    assert str(id) in engine("leads").stdout
    assert str(id) not in engine("leads", "list", "--status", "active").stdout
    assert str(id) not in engine("leads", "list", "--account", ObjectId()).stdout
    shown = engine("leads", "show", id).stdout
    assert "owner_id: given 'me'" in shown
    assert "note: Seen" in shown

    retried = engine("leads", "retry", id)
    assert "it goes on with action 2 (owner)" in retried.stdout
    assert "run-once leads.actions" in retried.stdout
    assert engine("run-once", "leads.actions").returncode == 1
    assert "it goes on with action 3 (wait)" in engine("leads", "skip", id).stdout
    assert engine("leads", "cancel", id).stdout.strip() == f"lead {id}: its run is cancelled"
    assert entry(world, run)["status"] == "cancelled"
    assert engine("leads", "enter", id, here).returncode == 0
    again = engine("leads", "show", id).stdout
    assert "entering" in again
    assert "cancelled by an operator" in again


@pytest.mark.parametrize("word", ["show", "retry", "skip", "cancel"])
def test_what_is_no_lead_and_what_is_no_id(engine: CommandLine, word: str) -> None:
    refused = engine("leads", word, id := ObjectId())
    assert (refused.returncode, f"there is no lead {id}" in refused.stderr) == (1, True)
    assert engine("leads", word, "x").returncode == 2


def test_pause_and_resume_take_exactly_one_of_three(engine: CommandLine, world: World) -> None:
    here = stage(world, NOTE)
    paused = engine("leads", "pause", "--stage", here, "--for", "2h", "--waits", "keep")
    assert (paused.returncode, f"stage {here} is paused until " in paused.stdout) == (0, True)
    (stored,) = [one["automation_paused"] for one in world.db["pipeline_stages"].find({"_id": here})]
    assert (stored["waits"], stored["until"] - stored["since"]) == ("keep", timedelta(hours=2))
    assert engine("leads", "resume", "--stage", here).returncode == 0
    assert engine("leads", "resume", "--stage", here).returncode == 1
    assert "leads resume --account" in engine("leads", "pause", "--account", world.account).stdout
    for words in ((), ("--stage", here, "--account", world.account)):
        refused = engine("leads", "pause", *words)
        assert (refused.returncode, "exactly one of" in refused.stderr) == (2, True)
    assert engine("leads", "pause", "--pipeline", "x").returncode == 2
    assert engine("leads", "pause", "--pipeline", ObjectId()).returncode == 1


def test_migrate_shows_what_it_would_do_and_does_it_when_asked(engine: CommandLine, world: World) -> None:
    here = stage(world, WAIT)
    _, run = entered(world, here)
    engine("run-once", "leads.actions")
    world.db["pipeline_stage_actions"].delete_many({"stage_id": here})
    put_actions(world, here, action("wait", seconds=60))

    preview = engine("leads", "migrate", here).stdout
    assert "it begins now" in preview
    assert "nothing is changed yet" in preview
    before = entry(world, run)["perform_at"]
    assert "1 leads have the stage's actions" in engine("leads", "migrate", here, "--yes").stdout
    assert entry(world, run)["perform_at"] < before
    assert engine("leads", "migrate", ObjectId()).returncode == 1


@pytest.mark.covers("LP-13")
def test_sla_shows_how_late_actions_began(engine: CommandLine, world: World) -> None:
    here = stage(world, NOTE, action("add_tag", tag="hot"))
    for _ in range(3):
        entered(world, here)
    engine("run-once", "leads.actions")
    late = {"$set": {"bins": {"1000": 2, "600000": 1}, "longest": 200.0}}
    assert world.db["lead_delays"].update_one({"type": "add_tag"}, late).modified_count == 1

    shown = engine("leads", "sla", "--since", "1h").stdout
    assert "6 actions in the last 1h; 1 of them began over 120 s after they were due" in shown
    tag = next(line for line in shown.splitlines() if "add_tag" in line)
    cells = [cell.strip() for cell in tag.split("│")[1:-1]]
    assert cells == [str(world.account), "add_tag", "3", "2", "0", "0", "0", "1", "0", "1 s", "600 s", "200.0 s"]
    assert "0 actions" in engine("leads", "sla", "--account", ObjectId()).stdout
    assert engine("leads", "sla", "--since", "soon").returncode == 2


def test_a_lead_is_explained_to_people_and_to_programs(engine: CommandLine, world: World) -> None:
    id, _ = entered(world, stage(world, NOTE, WAIT))
    engine("run-once", "leads.actions")

    explained = engine("explain", "lead", id)
    assert explained.stdout.startswith("Action 2 wait of this lead will run at ")
    assert "No daemon runs" in explained.stderr
    assert "1 note" in explained.stdout
    found = json.loads(engine("explain", "lead", id, "--json").stdout)
    assert (found["status"], found["next"]["what"], found["next"]["why"]) == ("active", "runs", "when the wait is over")
    never = engine("explain", "lead", lead(world))
    assert never.stdout.startswith("This lead's run will not go on: it never entered a stage")
    assert engine("explain", "lead", ObjectId()).returncode == 1
    assert engine("explain", "lead", "x").returncode == 2
