"""A slow template costs its own deal, and other accounts next to nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline_engine.errors import Permanent, RateLimited
from pipeline_engine.providers.renderer import RENDER_SECONDS, NotRendered, Renderer, Texts
from tests.support.automations import automation_of, deal_of, run
from tests.support.engine_app import EngineApp
from tests.support.load import load_factor
from tests.support.world import World

NESTED = "{% for a in tags %}{% for b in tags %}{% endfor %}{% endfor %}done"
SLOW, QUICK = {"tags": list(range(20_000))}, {"tags": [1]}
FOREVER = "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}"


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer() as renderer:
        yield renderer


async def render_all(renderer: Renderer, source: str, contexts: list[dict[str, Any]]) -> list[Texts | NotRendered]:
    """Asks again for those that had no time."""
    rendered = await renderer.render({"text": source}, contexts)
    later = [place for place, one in enumerate(rendered) if isinstance(one, RateLimited)]
    assert len(later) < len(contexts)
    if later:
        again = await render_all(renderer, source, [contexts[place] for place in later])
        for place, one in zip(later, again, strict=True):
            rendered[place] = one
    return rendered


@pytest.mark.parametrize("slow", [{0}, {4}, {9}, {2, 7}])
async def test_only_the_contexts_that_take_too_long_fail(renderer: Renderer, slow: set[int]) -> None:
    contexts = [SLOW if place in slow else QUICK for place in range(10)]
    rendered = await render_all(renderer, NESTED, contexts)
    failed = {place for place, one in enumerate(rendered) if isinstance(one, Permanent)}
    assert failed == slow
    assert all("takes too long" in str(rendered[place]) for place in slow)
    assert all(one == {"text": "done"} for place, one in enumerate(rendered) if place not in slow)


async def test_contexts_that_are_long_together_are_all_rendered(renderer: Renderer) -> None:
    contexts: list[dict[str, Any]] = [{"x": list(range(20_000)), "tags": [1]} for _ in range(40)]
    source = "{% set found = [] %}{% for a in x %}{% set b = a | string | upper %}{% endfor %}done{{ first }}"
    contexts[0]["first"] = "!"
    rendered = await renderer.render({"text": source}, contexts)
    texts = [one["text"] for one in rendered if isinstance(one, dict)]
    assert texts == ["done!", *["done"] * (len(texts) - 1)]
    assert len(texts) > 5
    assert all(isinstance(one, RateLimited) for one in rendered[len(texts) :])


async def test_a_template_that_cannot_be_read_in_time_fails_once_for_all(renderer: Renderer) -> None:
    # Compiling a constant expression computes it.
    parts = {"text": "{{ 0 }}" + "{{ (10 ** 9) ** (10 ** 5) }}" * 9}
    started = time.monotonic()
    rendered = await renderer.render(parts, [QUICK] * 20)
    assert all(isinstance(one, Permanent) for one in rendered)
    assert time.monotonic() - started < RENDER_SECONDS * 2 * load_factor()


async def test_hostile_accounts_keep_a_good_one_waiting_for_a_moment(renderer: Renderer) -> None:
    await renderer.render({"text": "x"}, [{}], account="good")
    hostile = [
        asyncio.create_task(renderer.render({"text": FOREVER}, [{"x": "x" * 9999}] * 5, account=f"hostile {n % 2}"))
        for n in range(6)
    ]
    waited = []
    while not hostile[0].done():
        started = time.monotonic()
        assert await renderer.render({"text": "Hi {{ name }}"}, [{"name": "A"}], account="good") == [{"text": "Hi A"}]
        waited.append(time.monotonic() - started)
        await asyncio.sleep(0.02)
    for one in hostile:
        one.cancel()
    await asyncio.gather(*hostile, return_exceptions=True)
    assert len(waited) > 5
    assert max(waited) < 4  # 2 s for each of the two


async def test_one_slow_deal_of_an_automation_fails_alone(world: World, app: EngineApp) -> None:
    body = "{% for a in deal.tags %}{% for b in deal.tags %}{% endfor %}{% endfor %}{{ deal.name }}"
    automation = world.automation("sms", message=body)
    deals = [world.deal(name=f"D{n}") for n in range(9)]
    slow = world.deal(tags=list(range(20_000)))

    await run(app, automation)

    assert deal_of(world, slow)["automation_failed"] == [automation]
    units = {one["deal_id"]: one["last_error"] for one in world.db["automation_units"].find()}
    assert "takes too long" in units[slow]
    assert all("takes too long" not in units.get(deal, "") for deal in deals)
    assert automation_of(world, automation)["run"] is None
