"""The process in which templates are filled in: quick, confined, replaced when it is lost."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest
from bson import ObjectId
from bson.decimal128 import Decimal128

from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.providers.renderer import Renderer

FOREVER = "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}"
MB = 1024 * 1024
RESCUE_SECONDS = 8.0


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer() as renderer:
        yield renderer


def processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "pipeline_engine.providers.template_process" in child.cmdline()]


async def one(renderer: Renderer, text: str, **context: Any) -> str | Permanent:
    (filled,) = await renderer.render({"text": text}, [context])
    assert not isinstance(filled, RateLimited)
    return filled["text"] if isinstance(filled, dict) else filled


async def test_answers_come_in_order_and_each_for_itself(renderer: Renderer) -> None:
    contexts: list[dict[str, Any]] = [{"name": "A"}, {"name": 5}, {"name": "C"}]
    first, second, third = await renderer.render({"text": "Hi {{ name.title() }}"}, contexts)
    assert (first, third) == ({"text": "Hi A"}, {"text": "Hi C"})
    assert isinstance(second, Permanent)
    assert "unknown variable 'title'" in str(second)


async def test_whatever_mongodb_stores_can_be_said(renderer: Renderer) -> None:
    id, now = ObjectId(), datetime(2026, 1, 2, tzinfo=UTC)
    context = {"id": id, "at": now, "sum": Decimal128("1.50"), "deep": {"list": [1, None, {"x": b"y"}]}}
    assert await one(renderer, "{{ id }} {{ at.year }} {{ sum }} {{ deep.list[0] }}", **context) == f"{id} 2026 1.50 1"


async def test_it_is_started_when_it_is_needed_and_ends_with_its_owner() -> None:
    async with Renderer() as renderer:
        assert not processes()
        await one(renderer, "x")
        (process,) = processes()
        await one(renderer, "y")
        assert processes() == [process]
    assert not process.is_running()


async def test_a_template_that_takes_too_long_is_ended_and_the_next_is_served(renderer: Renderer) -> None:
    assert await one(renderer, "before") == "before"
    started = time.process_time(), time.monotonic()
    assert "takes too long" in str(await one(renderer, FOREVER, x="x" * 9999))
    assert time.process_time() - started[0] < 0.5  # ours: the loop was free
    assert await one(renderer, "after") == "after"


async def test_the_loop_is_free_while_a_template_runs(renderer: Renderer) -> None:
    assert await one(renderer, "before") == "before"
    (process,) = processes()
    process.suspend()  # a template that takes as long as the test wants, however busy the machine is
    rescue = threading.Timer(RESCUE_SECONDS, process.resume)
    rescue.start()
    rendering = asyncio.create_task(one(renderer, "after"))
    for _ in range(20):
        await asyncio.sleep(0.01)

    assert not rendering.done()  # a loop that waits for the template has waited for the rescue

    rescue.cancel()
    process.resume()
    assert await rendering == "after"


async def test_a_template_that_needs_too_much_memory_fails_alone(renderer: Renderer) -> None:
    source = "{{ (x * times) | length }}"
    contexts: list[dict[str, Any]] = [{"x": [1], "times": 1}, {"x": [1], "times": 50 * MB}, {"x": [1], "times": 2}]
    before = psutil.Process().memory_info().rss
    first, second, third = await renderer.render({"text": source}, contexts)
    assert (first, third) == ({"text": "1"}, {"text": "2"})
    assert "needs more memory" in str(second)
    assert psutil.Process().memory_info().rss - before < 20 * MB
    for source in ("{{ 'a' * 10 ** 9 }}", "{% set a = 'x' * 10 ** 9 %}"):
        assert "needs more memory" in str(await one(renderer, source))


async def test_a_process_that_was_ended_is_replaced_unnoticed(renderer: Renderer) -> None:
    await one(renderer, "x")
    (process,) = processes()
    process.kill()
    process.wait(5)
    assert await one(renderer, "y") == "y"


async def test_a_batch_that_is_cancelled_leaves_no_answers_to_the_next(renderer: Renderer) -> None:
    await one(renderer, "x")
    (process,) = processes()
    process.suspend()
    filling = asyncio.create_task(one(renderer, "mine"))
    await asyncio.sleep(0)
    while not renderer._child._places[0].turn.locked():
        await asyncio.sleep(0)
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling
    assert await one(renderer, "yours") == "yours"
    assert process not in processes()


async def test_a_process_that_hangs_is_replaced() -> None:
    async with Renderer(timeout=0.5) as renderer:
        await asyncio.wait_for(warm(renderer), 10)
        (process,) = processes()
        process.suspend()
        with pytest.raises(Transient, match=r"not filled in within 0\.5 s"):
            await one(renderer, "x")
        await asyncio.wait_for(warm(renderer), 10)


async def warm(renderer: Renderer) -> None:
    """Until it answers: on a busy machine a process needs longer to start than a test's patience."""
    while True:
        try:
            await one(renderer, "x")
        except Transient:
            continue
        return


async def test_it_has_no_environment_and_no_way_to_write_or_to_start_programs(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_SECRET", "not for templates")
    await one(renderer, "x")
    (process,) = processes()
    assert process.environ() == {}
    if hasattr(process, "rlimit"):
        assert process.rlimit(psutil.RLIMIT_FSIZE) == process.rlimit(psutil.RLIMIT_NPROC) == (0, 0)
    assert os.getsid(process.pid) != os.getsid(0)  # Ctrl-C is for us


async def test_two_hundred_mails_are_ready_in_a_moment(renderer: Renderer) -> None:
    parts = {"subject": "Hello {{ name }}", "html": "<p>Dear {{ name }}, {{ deal.value }}</p>" * 30}
    contexts = [{"name": f"John {n}", "deal": {"value": n, "filler": "x" * 1000}} for n in range(200)]
    await renderer.render(parts, contexts)
    (process,) = processes()
    before = time.process_time() + process.cpu_times().user
    for _ in range(5):
        assert len(await renderer.render(parts, contexts)) == 200
    # Processor time of both sides, because a wall clock tells more about the neighbours.
    assert (time.process_time() + process.cpu_times().user - before) / 5 < 0.1
