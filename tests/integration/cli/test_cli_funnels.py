"""`funnels` and `explain clone` as commands."""

from __future__ import annotations

import json

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.funnels import Original, assert_whole, funnel_of, images_of, new_clone
from tests.support.world import World


@pytest.mark.covers("FC-X16")
def test_a_clone_is_listed_shown_cancelled_and_tried_again(engine: CommandLine, world: World) -> None:
    original = Original(world, steps=2)
    original.image("gone.png", None)
    page = original.page(0)
    original.write(0, page, components={"not": "text"})
    clone = new_clone(world, original)
    assert engine("run-once", "funnels.clone", CLONE_RUNS="1").returncode == 1

    listed = engine("funnels", "list", "--account", world.account)
    (row,) = [line for line in listed.stdout.splitlines() if str(clone) in line]
    assert [cell.strip() for cell in row.split("│")[2:5]] == ["failed", str(world.account), "Original (Clone)"]
    assert str(clone) in engine("funnels").stdout

    shown = engine("funnels", "show", clone)
    assert "components of the original step" in shown.stdout
    assert shown.stdout.count("done") >= 1

    cancelled = engine("funnels", "cancel", clone)
    assert (cancelled.returncode, "run-once funnels.clone" in cancelled.stdout) == (0, True)
    assert "cancelling" in engine("funnels", "show", clone).stdout
    engine("run-once", "funnels.clone")
    assert funnel_of(world, clone)["clone"]["error"] == "cancelled"
    assert images_of(world, clone) == {}

    original.write(0, page)
    retried = engine("funnels", "retry", clone)
    assert (retried.returncode, "pending again" in retried.stdout) == (0, True)
    assert engine("run-once", "funnels.clone").returncode == 0
    assert_whole(world, clone, original)
    assert "5 images" not in engine("funnels", "show", clone).stdout
    assert "warning" in engine("funnels", "show", clone).stdout


@pytest.mark.parametrize("word", ["show", "cancel", "retry"])
def test_what_is_no_clone_and_what_is_no_id(engine: CommandLine, world: World, word: str) -> None:
    original = Original(world, steps=1)
    for id in (ObjectId(), original.id):
        refused = engine("funnels", word, id)
        assert (refused.returncode, f"there is no clone {id}" in refused.stderr) == (1, True)
    assert engine("funnels", word, "x").returncode == 2
    assert funnel_of(world, original.id)["pending"] is False


def test_a_clone_is_explained_to_people_and_to_programs(engine: CommandLine, world: World) -> None:
    clone = new_clone(world, Original(world, steps=2))

    explained = engine("explain", "clone", clone)
    assert (explained.returncode, explained.stdout.startswith("This clone will run at ")) == (0, True)
    assert "No daemon runs" in explained.stderr
    engine("run-once", "funnels.clone")
    found = json.loads(engine("explain", "clone", clone, "--json").stdout)

    assert (found["status"], found["next"]["what"], len(found["steps"])) == ("completed", "never", 2)
    assert "done" in engine("explain", "clone", clone).stdout
    assert engine("explain", "clone", ObjectId()).returncode == 1
    assert engine("explain", "clone", "x").returncode == 2
