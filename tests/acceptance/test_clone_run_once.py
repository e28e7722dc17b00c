"""The seed's own simulations, through the real door."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bson import ObjectId

from tests.support.command_line import Subprocess
from tests.support.funnels import (
    DOMAIN,
    TOKEN,
    Original,
    ago,
    assert_whole,
    forms_of,
    funnel_of,
    give_chat_token,
    images_of,
    new_clone,
    steps_of,
)
from tests.support.world import World


def run(engine: Subprocess, **changes: str) -> dict[str, Any]:
    ran = engine("run-once", "funnels.clone", "--json", **changes)
    printed: dict[str, Any] = json.loads(ran.stdout)
    assert ran.returncode == (0 if printed["ok"] else 1), ran.stderr
    return dict(printed["sweeps"][0])


@pytest.mark.covers("FC-05", "FC-18", "FC-25")
def test_a_new_funnel_with_pending_becomes_a_copy(engine: Subprocess, world: World) -> None:
    original = Original(world, steps=4)
    give_chat_token(world)
    colleague = world.db["users"].insert_one({"account": world.account, "active": True}).inserted_id
    clone = new_clone(world, original)

    result = run(engine, PREVIEW_DOMAIN=DOMAIN)

    assert result.pop("seconds") > 0
    assert result == {"name": "funnels.clone", "units": 1, "jobs": 5, "succeeded": 1, "failed": 0, "busy": 0}
    assert_whole(world, clone, original)
    assert len(steps_of(world, clone)) == 4
    assert len(images_of(world, clone)) == 6
    assert [form["account_id"] for form in forms_of(world, clone)] == [world.account]
    assert all(TOKEN.split('"')[0] in step["raw_html"] for step in steps_of(world, clone))
    (message,) = world.db["outbox"].find()
    assert (message["event"], set(message["user_ids"])) == (
        "funnel_cloning_completed",
        {str(world.user), str(colleague)},
    )


@pytest.mark.covers("FC-03", "FC-08")
def test_a_stale_one_is_picked_up_and_finished(engine: Subprocess, world: World) -> None:
    original = Original(world)
    clone = new_clone(world, original, pending=False, in_progress=True, updatedAt=ago(15))

    assert run(engine)["succeeded"] == 1

    assert_whole(world, clone, original)


def test_one_without_an_original_makes_the_exit_code_1(engine: Subprocess, world: World) -> None:
    clone = new_clone(world, ObjectId())

    assert run(engine)["failed"] == 1

    assert funnel_of(world, clone)["original_funnel_deleted"] is True
