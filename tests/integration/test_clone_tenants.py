"""A clone takes from accounts that its own may see, and from no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bson import ObjectId

from tests.integration.conftest import RunClones
from tests.support.funnels import (
    Original,
    assert_whole,
    components_of,
    forms_of,
    funnel_of,
    images_of,
    new_clone,
    steps_of,
)
from tests.support.world import Document, World


@pytest.fixture
def neighbour(world: World) -> Iterator[World]:
    neighbour = world.neighbour()
    yield neighbour
    neighbour.close()


def put_under(parent: object, *worlds: World) -> None:
    for world in worlds:
        world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"parent_account": parent}})


def everything_of(world: World) -> dict[str, list[Document]]:
    found = {
        name: list(world.db[name].find({"account_id": world.account}, sort=[("_id", 1)]))
        for name in sorted(world.db.list_collection_names())
    }
    return {name: documents for name, documents in found.items() if documents}


@pytest.mark.parametrize("parents", [(None, None), ("a", "b"), (None, "a")])
async def test_an_original_of_another_account_is_not_cloned(
    world: World, neighbour: World, run_clones: RunClones, parents: tuple[str | None, str | None]
) -> None:
    ids = {"a": ObjectId(), "b": ObjectId(), None: None}
    put_under(ids[parents[0]], world)
    put_under(ids[parents[1]], neighbour)
    original = Original(neighbour)
    clone = new_clone(world, original)
    before = everything_of(neighbour)

    result = await run_clones()

    assert result.failed == 1
    refused = funnel_of(world, clone)
    assert (refused["pending"], refused["in_progress"], refused["clone_failed"]) == (False, False, True)
    assert "belongs to another account" in refused["clone"]["error"]
    assert steps_of(world, clone) == []
    assert everything_of(world)["funnels"] == [refused]
    assert everything_of(neighbour) == before


@pytest.mark.parametrize("spelled", [ObjectId, str])
@pytest.mark.covers("FC-X12")
async def test_an_original_under_the_same_parent_is_cloned_into_the_new_account(
    world: World, neighbour: World, run_clones: RunClones, spelled: type
) -> None:
    parent = ObjectId()
    put_under(parent, world)
    put_under(spelled(parent), neighbour)
    original = Original(neighbour)
    clone = new_clone(world, original)
    before = everything_of(neighbour)

    result = await run_clones()

    assert result.succeeded == 1
    assert_whole(world, clone, original)
    made = [*steps_of(world, clone), *images_of(world, clone).values(), *forms_of(world, clone)]
    made += [components_of(world, step) for step in steps_of(world, clone)]
    assert {one["account_id"] for one in made} == {world.account}
    assert everything_of(neighbour) == before
    (message,) = world.db["outbox"].find()
    assert message["user_ids"] == [str(world.user)]


async def test_a_foreign_form_in_a_page_is_not_copied(world: World, neighbour: World, run_clones: RunClones) -> None:
    original = Original(world, steps=1)
    foreign = original.add_form("Theirs", account_id=neighbour.account)
    original.write(0, original.page(0) + f'<a href="/userform/{foreign}">')
    clone = new_clone(world, original)

    await run_clones()

    (step,) = steps_of(world, clone)
    assert foreign not in f"{step['raw_html']}{components_of(world, step)['components']}"
    assert any(foreign in error for error in components_of(world, step)["errors"])
    assert [form["source_form_id"] for form in forms_of(world, clone)] == [original.form]
    assert world.db["forms"].count_documents({"account_id": neighbour.account}) == 1


async def test_a_form_of_the_same_secret_elsewhere_is_not_taken_for_ours(
    world: World, neighbour: World, run_clones: RunClones
) -> None:
    original = Original(world, steps=1)
    world.db["forms"].insert_one(
        {
            "form_secret_id": original.form,
            "form_name": "Theirs",
            "account_id": neighbour.account,
            "_id": ObjectId("0" * 24),
        }
    )
    clone = new_clone(world, original)

    await run_clones()

    (form,) = forms_of(world, clone)
    assert form["form_name"] == "Contact"


async def test_a_foreign_image_is_not_copied(world: World, neighbour: World, run_clones: RunClones) -> None:
    original = Original(world, steps=1)
    foreign = original.image("theirs.png", b"theirs", account_id=neighbour.account)
    original.write(0, original.page(0) + f'<img src="{foreign}">')
    clone = new_clone(world, original)

    await run_clones()

    (step,) = steps_of(world, clone)
    assert foreign not in step["raw_html"]
    assert f"image {foreign}: it belongs to another account" in components_of(world, step)["errors"]
    assert foreign not in images_of(world, clone)
    assert funnel_of(world, clone)["pending"] is False


async def test_a_step_of_another_account_is_not_part_of_the_clone(
    world: World, neighbour: World, run_clones: RunClones
) -> None:
    original = Original(world, steps=2)
    world.db["funnel.step"].update_one({"_id": original.steps[1]}, {"$set": {"account_id": neighbour.account}})
    clone = new_clone(world, original)

    await run_clones()

    assert [step["original_step_id"] for step in steps_of(world, clone)] == original.steps[:1]
