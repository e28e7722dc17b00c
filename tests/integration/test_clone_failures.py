"""Clones that cannot be made, or not at once: what can be tried again is, what cannot is said, and no other waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import failpoints
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.plan import run_plan
from pipeline_engine.domain.funnels.step import run_step
from pipeline_engine.domain.funnels.sweep import find
from pipeline_engine.lanes import Snooze
from tests.integration.conftest import RunClones
from tests.support.engine_app import EngineApp
from tests.support.funnels import (
    DOMAIN,
    Original,
    assert_whole,
    components_of,
    forms_of,
    funnel_of,
    images_of,
    new_clone,
    steps_of,
)
from tests.support.said import Said
from tests.support.world import World


def events(world: World, name: str) -> list[dict[str, Any]]:
    return [message["data"] for message in world.db["outbox"].find({"event": name}, sort=[("createdAt", 1)])]


def poison(world: World) -> ObjectId:
    """A clone whose only step can never be done."""
    original = Original(world, steps=1)
    original.write(0, "x" * 10, components={"not": "text"})
    return new_clone(world, original)


@pytest.mark.covers("FC-07")
async def test_an_original_that_is_gone_fails_the_clone_in_the_seeds_words(world: World, run_clones: RunClones) -> None:
    original = ObjectId()
    clone = new_clone(world, original, error=["an older complaint"])

    result = await run_clones()

    assert (result.units, result.failed) == (1, 1)
    ended = funnel_of(world, clone)
    text = f"Original Funnel not found, id:{original}"
    assert ended["error"] == ["an older complaint", text]
    assert ended["original_funnel_deleted"] is True
    assert (ended["pending"], ended["in_progress"]) == (False, False)
    assert events(world, "funnel_cloning_failed") == [{"funnel_id": str(clone), "error": text}]
    assert events(world, "funnel_cloning_completed") == []


@pytest.mark.parametrize("broken", [{"original_funnel_id": "x"}, {"account_id": None}, {"error": "one text"}])
async def test_a_malformed_request_ends_once_and_for_all(
    world: World, run_clones: RunClones, broken: dict[str, Any]
) -> None:
    clone = new_clone(world, ObjectId(), **broken)

    await run_clones()

    ended = funnel_of(world, clone)
    assert (ended["pending"], ended["in_progress"], ended["clone_failed"]) == (False, False, True)
    assert ended["error"] == [ended["clone"]["error"]]


@pytest.mark.covers("FC-17", "FC-21")
async def test_an_image_whose_object_is_gone_is_emptied_and_the_clone_completes(
    world: World, run_clones: RunClones
) -> None:
    original = Original(world, steps=2)
    gone = original.image("gone.png", None)
    unused = original.image("gone and on no page.png", None)
    original.write(0, original.page(0) + f'<img src="/f/{gone}">')
    clone = new_clone(world, original)

    result = await run_clones()

    assert result.succeeded == 1
    assert_whole(world, clone, original)
    step, _ = steps_of(world, clone)
    assert '<img src="">' in step["raw_html"]
    assert any(gone in error for error in components_of(world, step)["errors"])
    outcome = funnel_of(world, clone)["clone"]
    assert {key for key in (gone, unused) for warning in outcome["warnings"] if key in warning} == {gone, unused}
    assert (outcome["images"], outcome["manifest"]["reset"]) == (4, {"references": 1})
    assert {gone, unused}.isdisjoint(images_of(world, clone))


@pytest.mark.covers("FC-17", "FC-21")
async def test_a_form_that_is_gone_is_emptied_and_the_clone_completes(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=2)
    world.db["forms"].delete_many({})
    clone = new_clone(world, original)

    result = await run_clones()

    assert result.succeeded == 1
    assert_whole(world, clone, original)
    for step in steps_of(world, clone):
        assert "/userform/?x=1" in step["raw_html"]
        assert original.form in str(components_of(world, step)["errors"])
    assert len([w for w in funnel_of(world, clone)["clone"]["warnings"] if original.form in w]) == 1
    assert forms_of(world, clone) == []


@pytest.mark.parametrize("domain", [None, DOMAIN])
@pytest.mark.covers("FC-16", "FC-X15", "FC-X17")
async def test_without_a_chat_token_the_page_keeps_its_key_and_says_so(
    world: World, run_clones: RunClones, domain: str | None
) -> None:
    clone = new_clone(world, Original(world, steps=1))

    result = await run_clones(preview_domain=domain)

    assert result.succeeded == 1
    (step,) = steps_of(world, clone)
    assert 'api-key="old key"' in step["raw_html"]
    (error,) = components_of(world, step)["errors"]
    assert error.startswith("chat: ")
    assert funnel_of(world, clone)["clone"]["warnings"] == [error]


@pytest.fixture
def breaking() -> Iterator[Callable[[str], None]]:
    """Arms a fault plan."""
    yield lambda plan: failpoints.arm(plan, None)
    failpoints.disarm()


@pytest.mark.parametrize("failpoint", ["s3.copy", "s3.head"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.covers("FC-11", "FC-X2")
async def test_a_copy_that_fails_once_is_made_at_the_next_attempt(
    world: World, app: EngineApp, breaking: Callable[[str], None], failpoint: str, when: str
) -> None:
    original = Original(world, steps=1)
    clone, desk = new_clone(world, original), CloneCache(2)
    await run_plan(app, desk, clone)
    (step,) = steps_of(world, clone)
    await app.heartbeat.beat()
    breaking(f'{{"failpoint": "{failpoint}", "do": "raise", "nth": 2, "when": "{when}"}}')

    assert await run_step(app, desk, step["_id"]) == Snooze(after=app.settings.clone_retry_seconds)
    (waits,) = steps_of(world, clone)
    assert (waits["pending"], waits["in_progress"], waits["attempts"]) == (True, False, 1)
    assert "planned fault" in waits["last_error"]

    assert await run_step(app, desk, step["_id"]) is None
    assert_whole(world, clone, original)
    assert steps_of(world, clone)[0]["attempts"] == 2


@pytest.mark.covers("FC-19", "FC-X6")
async def test_after_three_attempts_step_and_funnel_wait_for_the_next_run(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world, steps=1)
    clone = new_clone(world, original)

    result = await run_clones(clone_retry_seconds=0.1, s3_endpoint_url="http://127.0.0.1:1")

    assert (result.units, result.failed) == (1, 1)
    (step,) = steps_of(world, clone)
    assert (step["pending"], step["in_progress"], step["attempts"]) == (True, False, 3)
    waits = funnel_of(world, clone)
    assert (waits["pending"], waits["in_progress"], waits["clone"]["attempts"]) == (True, False, 1)
    assert "S3 did not answer" in waits["clone"]["error"]
    rest = waits["clone"]["next_at"] - datetime.now(UTC)
    assert timedelta(minutes=4) < rest < timedelta(minutes=5, seconds=5)
    assert [unit.id for unit in await find(app)] == []  # a daemon lets it rest

    assert (await run_clones()).succeeded == 1
    assert_whole(world, clone, original)


@pytest.mark.covers("FC-X16", "FC-19")
async def test_after_three_runs_a_clone_has_failed_until_an_operator_retries(
    world: World, run_clones: RunClones
) -> None:
    clone = poison(world)

    for run in (1, 2, 3):
        result = await run_clones()
        assert (result.units, result.failed) == (1, 1)
        assert funnel_of(world, clone)["clone"]["attempts"] == run

    ended = funnel_of(world, clone)
    assert (ended["pending"], ended["in_progress"], ended["clone_failed"]) == (False, False, True)
    assert "components of the original step" in ended["clone"]["error"]
    assert events(world, "funnel_cloning_failed") == [{"funnel_id": str(clone), "error": ended["clone"]["error"]}]
    assert (await run_clones()).units == 0


@pytest.mark.covers("FC-X16")
async def test_poison_does_not_keep_the_others_waiting(world: World, run_clones: RunClones) -> None:
    first = [poison(world) for _ in range(4)]
    original = Original(world)
    last = [new_clone(world, original) for _ in range(4)]

    result = await run_clones()

    assert (result.units, result.succeeded, result.failed) == (8, 4, 4)
    for clone in last:
        assert_whole(world, clone, original)
    assert {funnel_of(world, clone)["clone"]["attempts"] for clone in first} == {1}


@pytest.mark.covers("FC-X16")
async def test_a_daemon_takes_fresh_clones_before_those_that_failed_once(world: World, app: EngineApp) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    failed = [new_clone(world, ObjectId(), clone={"attempts": 1, "next_at": past}) for _ in range(3)]
    fresh = new_clone(world, ObjectId())

    found = [ObjectId(unit.id) for unit in await find(app)]

    assert found == [fresh, *failed[:2]]


async def test_only_what_is_not_done_is_done_in_the_next_run(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=3)
    good = original.page(1)
    original.write(1, good, components={"not": "text"})
    clone = new_clone(world, original)
    await run_clones()
    before = {step["_id"]: step for step in steps_of(world, clone)}
    assert [step["clone_state"] for step in before.values()] == ["done", "failed", "done"]
    original.write(1, good)

    await run_clones()

    assert_whole(world, clone, original)
    after = steps_of(world, clone)
    assert [step["token"] for step in after] == [1, 2, 1]
    assert funnel_of(world, clone)["clone"]["attempts"] == 1


@pytest.mark.covers("FC-X8")
async def test_a_step_of_the_original_that_is_deleted_meanwhile_fails_the_clone_clearly(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world, steps=2)
    clone = new_clone(world, original)
    await run_plan(app, CloneCache(1), clone)
    world.db["funnel.step"].delete_one({"_id": original.steps[1]})

    for _ in range(3):
        await run_clones()

    ended = funnel_of(world, clone)
    assert ended["clone_failed"] is True
    assert f"the original step {original.steps[1]} is gone" in ended["clone"]["error"]
    assert events(world, "funnel_cloning_completed") == []


@pytest.mark.covers("FC-07")
async def test_an_original_that_is_deleted_meanwhile_ends_the_clone(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world)
    clone = new_clone(world, original)
    await run_plan(app, CloneCache(1), clone)
    world.db["funnels"].delete_one({"_id": original.id})

    await run_clones()
    await run_clones()

    assert funnel_of(world, clone)["original_funnel_deleted"] is True


@pytest.mark.covers("FC-24")
async def test_no_message_of_a_foreign_exception_gets_into_the_log(
    world: World, run_clones: RunClones, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("Private Page")

    monkeypatch.setattr("pipeline_engine.domain.funnels.step.render_step", fail)
    clone = new_clone(world, Original(world, steps=1))

    for _ in range(3):
        await run_clones()

    assert "Private Page" in funnel_of(world, clone)["clone"]["error"]
    assert "clone.run_failed" in said()
    assert '"status": "failed"' in said()
    assert "Private Page" not in said()
