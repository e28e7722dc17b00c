"""What a clone copies: steps, pages, components, images and forms, each leading to the copy alone."""

from __future__ import annotations

import time
from html import escape
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.funnels.sweep import find
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.integration.conftest import RunClones
from tests.support.engine_app import EngineApp
from tests.support.funnels import (
    DOMAIN,
    TOKEN,
    Original,
    assert_whole,
    components_of,
    forms_of,
    funnel_of,
    give_chat_token,
    images_of,
    new_clone,
    steps_of,
)
from tests.support.world import World


@pytest.mark.covers("FC-02", "FC-11", "FC-14", "FC-15", "FC-16", "FC-17", "FC-18", "FC-25", "FC-X12", "FC-X13")
async def test_everything_of_the_original_is_copied_and_leads_to_the_copy(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=3)
    give_chat_token(world)
    clone = new_clone(world, original)

    result = await run_clones(preview_domain=DOMAIN)

    assert (result.units, result.jobs, result.succeeded, result.failed, result.busy) == (1, 4, 1, 0, 0)
    assert_whole(world, clone, original)
    images = images_of(world, clone)
    assert set(images) == {original.shared, original.unused, *original.own}
    (form,) = forms_of(world, clone)
    for n, step in enumerate(steps_of(world, clone)):
        for text in (step["raw_html"], components_of(world, step)["components"]):
            assert str(clone) in text
            assert form["form_secret_id"] in text
            assert images[original.own[n]]["key"] in text
        assert components_of(world, step)["errors"] == []
        assert f'api-key="{escape(TOKEN)}"' in step["raw_html"]
        assert escape(TOKEN) in components_of(world, step)["components"]


@pytest.mark.covers("FC-23")
async def test_a_funnel_as_large_as_they_come_is_whole(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=10)
    gallery = {original.image(f"gallery {n}.png", b"shown elsewhere") for n in range(38)}
    more = [original.add_form(name) for name in ("Newsletter", "Demo")]
    original.write(0, original.page(0) + "".join(f"<iframe src='/userform/{form}'></iframe>" for form in more))
    clone = new_clone(world, original)

    assert (await run_clones()).succeeded == 1

    assert_whole(world, clone, original)
    images = images_of(world, clone)
    assert (len(images), gallery <= set(images), len(forms_of(world, clone))) == (50, True, 3)


@pytest.mark.covers("FC-09", "FC-10")
async def test_steps_are_copies_without_what_belongs_to_the_original_alone(world: World, app: EngineApp) -> None:
    """As they stand before any of them is worked off."""
    original = Original(world, steps=2, account_id=world.account)
    world.db["funnel.step"].update_one({"_id": original.steps[0]}, {"$set": {"seo": {"a.b": ["$x"]}, "__v": 7}})
    clone = new_clone(world, original)
    await plan_only(app)

    step, _ = steps_of(world, clone)
    for name in ("createdAt", "updatedAt", "_id"):
        assert step.pop(name)
    now = time.time() * 1000
    assert now - 60_000 < step.pop("version") <= now + 1000
    assert step == {
        "funnel_id": clone,
        "account_id": world.account,
        "original_step_id": original.steps[0],
        "name": "Step 0",
        "slug": "step-0",
        "seo": {"a.b": ["$x"]},
        "__v": 7,
        "raw_html": None,
        "domain_id": None,
        "header_tracking_code": None,
        "footer_tracking_code": None,
        "pending": True,
        "in_progress": False,
        "processed": {"images_processed": False, "forms_processed": False, "chat_plugin_processed": False},
        "clone_id": clone,
        "clone_state": "open",
    }
    kept = components_of(world, steps_of(world, clone)[0])
    assert (kept["components"], kept["account_id"], kept["funnel_id"]) == ("{}", world.account, clone)
    waiting = funnel_of(world, clone)
    assert (waiting["pending"], waiting["in_progress"], waiting["lease_until"]) == (True, True, None)


@pytest.mark.covers("FC-09", "R-24")
async def test_what_steps_and_forms_have_besides_pages_leads_to_the_copy(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=2)
    here, following = original.steps

    def fields(funnel: ObjectId, step: ObjectId, key: str, form: str) -> dict[str, Any]:
        settings = {"a.b": f"/preview/{funnel}/{step}", "image": f"https://s3.example/crm/{key}"}
        return {"next_step_id": step, "settings": settings, "popup": f"/userform/{form}", "state": str(funnel)}

    form = original.add_form(
        "Only in a field", redirect_url=f"/preview/{original.id}/{following}", google_sheet={"a": 1}
    )
    own = fields(original.id, following, original.unused, form)
    world.db["funnel.step"].update_one({"_id": here}, {"$set": own})
    clone = new_clone(world, original)

    assert (await run_clones()).succeeded == 1

    step, last = steps_of(world, clone)
    copies = {one["source_form_id"]: one for one in forms_of(world, clone)}
    new = fields(clone, last["_id"], images_of(world, clone)[original.unused]["key"], copies[form]["form_secret_id"])
    assert {name: step[name] for name in new} == new
    assert copies[form]["redirect_url"] == f"/preview/{clone}/{last['_id']}"
    assert "google_sheet" not in copies[form]
    assert [one for one in funnel_of(world, clone)["clone"]["warnings"] if "Google Sheet" in one]
    source = world.db["funnel.step"].find_one({"_id": here})
    assert source
    assert {name: source[name] for name in own} == own


async def plan_only(app: EngineApp) -> None:
    """Tier one, for every clone that is due."""
    from pipeline_engine.domain.funnels.clone_cache import CloneCache
    from pipeline_engine.domain.funnels.plan import run_plan

    for unit in await find(app):
        await run_plan(app, CloneCache(1), ObjectId(unit.id))


@pytest.mark.covers("FC-14", "FC-20")
async def test_an_image_is_recorded_in_the_new_account_with_where_it_came_from(
    world: World, run_clones: RunClones
) -> None:
    original, parent = Original(world, steps=1), ObjectId()
    clone = new_clone(world, original, parent_account=parent)

    await run_clones()

    image = images_of(world, clone)[original.shared]
    for name in ("_id", "createdAt", "updatedAt", "clone_id"):
        assert image.pop(name)
    key = image["key"]
    assert key != original.shared
    assert key.split("/")[1] == "logo & co.png"
    assert image == {
        "ref_id": clone,
        "account_id": world.account,
        "parent_account": parent,
        "source_key": original.shared,
        "key": key,
        "fileName": "logo & co.png",
        "fileSize": 8,
        "origin": "funnels",
        "uploaded": True,
        "additionalInfo": {"bucket": "crm", "ContentType": "image/png", "url": f"https://s3.example/crm/{key}"},
    }


@pytest.mark.covers("FC-15", "FC-X12")
async def test_a_form_is_copied_whole_into_the_new_account(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=1)
    clone = new_clone(world, original)

    await run_clones()

    source = world.db["forms"].find_one({"form_secret_id": original.form})
    (form,) = forms_of(world, clone)
    assert source
    assert form["form_secret_id"] != original.form
    assert (form["source_form_id"], form["account_id"]) == (original.form, world.account)
    assert (form["form_name"], form["fields"]) == (source["form_name"], source["fields"])
    assert form["_id"] != source["_id"]


async def test_a_form_may_have_a_word_as_its_id_and_a_funnel_is_none(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=1, chat=False)
    original.add_form("Order", form_secret_id="order-form")
    page = '<i class="order-form"><iframe src="/userform/{order}"></iframe><iframe src="/userform/gone-form"></iframe>'
    original.write(0, page.format(order="order-form") + f'<a href="/userform/{original.id}">{original.id}</a>')
    clone = new_clone(world, original)

    assert (await run_clones()).succeeded == 1

    (step,), (form,) = steps_of(world, clone), forms_of(world, clone)
    written = page.format(order=form["form_secret_id"]) + f'<a href="/userform/{clone}">{clone}</a>'
    assert (form["source_form_id"], step["raw_html"]) == ("order-form", written)
    assert components_of(world, step)["errors"] == [
        f"form {original.id}: there is none in this account",
        "form gone-form: there is none in this account, the page keeps its address",
    ]


@pytest.mark.covers("FC-10", "FC-X10")
async def test_the_order_is_the_funnels_and_then_the_steps_own(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=4)
    first, second, third, fourth = original.steps
    listed = [third, str(first), ObjectId(), third, None]
    world.db["funnels"].update_one({"_id": original.id}, {"$set": {"steps": listed}})
    clone = new_clone(world, original, steps=[[ObjectId()]])

    await run_clones()

    assert [step["original_step_id"] for step in steps_of(world, clone)] == [third, first, second, fourth]


async def test_the_original_is_the_same_bytes_afterwards(world: World, run_clones: RunClones) -> None:
    original = Original(world)

    def everything() -> list[Any]:
        own = {"funnels": "_id", "funnel.step": "funnel_id", "funnel.step.components": "funnel_id"}
        own |= {"sites_images": "ref_id"}
        found = [list(world.db[name].find({field: original.id})) for name, field in own.items()]
        return [*found, *world.db["forms"].find({"form_secret_id": original.form})]

    before = everything()
    new_clone(world, original)
    await run_clones()

    assert everything() == before


async def test_a_clone_of_a_clone_leads_to_neither_of_the_others(world: World, run_clones: RunClones) -> None:
    original = Original(world)
    first = new_clone(world, original)
    await run_clones()
    second = new_clone(world, first)

    await run_clones()

    steps = steps_of(world, second)
    assert len(steps) == 2
    old = [str(original.id), str(first), *[str(step["_id"]) for step in steps_of(world, first)], *original.references]
    old += [image["key"] for image in images_of(world, first).values()]
    old += [form["form_secret_id"] for form in forms_of(world, first)]
    for step in steps:
        texts = f"{step['raw_html']}{components_of(world, step)['components']}"
        assert [reference for reference in old if reference in texts] == []
        assert (step["clone_id"], step["clone_state"]) == (second, "done")


@pytest.mark.covers("FC-X3")
@pytest.mark.parametrize("components", [None, "", "{}", "not json"])
async def test_a_step_may_have_no_page_and_any_or_no_components(
    world: World, run_clones: RunClones, components: str | None
) -> None:
    original = Original(world, steps=2)
    original.write(0, None, components)
    if components is None:
        world.db["funnel.step.components"].update_one({"step_id": original.steps[0]}, {"$set": {"components": None}})
        world.db["funnel.step.components"].delete_one({"step_id": original.steps[1]})
    clone = new_clone(world, original)

    result = await run_clones()

    assert result.succeeded == 1
    step = steps_of(world, clone)[0]
    assert step["raw_html"] is None
    assert components_of(world, step)["components"] == (components or "{}")


async def test_an_image_that_several_steps_show_is_copied_once(
    world: World, configured: Settings, tmp_path: Any
) -> None:
    original = Original(world, steps=5)
    new_clone(world, original)
    log = tmp_path / "failpoints"

    await run_once(configured.model_copy(update={"fault_testing": True, "fault_log": str(log)}), ["funnels.clone"])

    copies = [line for line in log.read_text().splitlines() if line.startswith("s3.copy ") and line.endswith(" after")]
    assert len(copies) == 2 + 5  # the shared one, the one on no page, and each step's own
