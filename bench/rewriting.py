"""Rewriting pages: megabytes per second against what knows one encoding only, and how long the loop is held up."""

from __future__ import annotations

import asyncio
import html
import json
import random
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from types import SimpleNamespace
from typing import cast
from urllib.parse import quote

from bench.row import Row
from pipeline_engine.app import PAGE_PROCESS, App
from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.page_process import rewritten
from pipeline_engine.domain.funnels.pages import look, rewrite
from pipeline_engine.domain.funnels.reference_finder import ReferenceFinder
from pipeline_engine.domain.funnels.rewrite import replaced
from pipeline_engine.providers.child_process import ChildProcess

KEYS = 200
CHARACTERS = 1_000_000
ROUNDS = 5
WORDS = (
    '<div class="card-face" data-n="1">',
    "</div>",
    "lorem",
    "ipsum",
    "feed",
    "100%",
    "{margin:0;color:#ffaa00}",
    "https://example.com/?a=b&amp;c=d%20e",
)
ENCODINGS: tuple[Callable[[str], str], ...] = (
    str,
    quote,
    html.escape,
    lambda key: key.replace("/", "\\/"),
    lambda key: quote(key, safe=""),
    lambda key: json.dumps(key)[1:-1],
)
HOSTILE = {
    "16,000 `<script`": "<script" * 16_000,
    '800 `<script custom-chat-widget="true"`': '<script custom-chat-widget="true"' * 800,
    "1 MB of %25252f": "%25252f" * 150_000,
    "20 MB of text": "lorem ipsum " * 1_700_000,
    "JSON 10^5 deep": "[" * 100_000 + "]" * 100_000,
}


def run() -> list[Row]:
    return [*_throughput(), asyncio.run(_stalls())]


def _throughput() -> list[Row]:
    keys = _keys()
    page = _page(list(keys))
    references, alternation = ReferenceFinder(keys), re.compile("|".join(map(re.escape, keys)))
    ours, alone, replaces, expressions = [], [], [], []
    for _ in range(ROUNDS):
        ours.append(_rate(lambda: rewritten(Page(page, ""), keys, None)))
        alone.append(_rate(lambda: replaced(page, references, keys)))
        replaces.append(_rate(lambda: _replace_each(page, keys)))
        expressions.append(_rate(lambda: alternation.sub(lambda key: keys[key[0]], page)))
    one, other = median(replaces), median(expressions)
    against = f"{other:.0f} MB/s: one expression of the plain keys; {one:.0f} MB/s: str.replace per key"
    what = f"rewriting a page of 1 MB, {KEYS} keys in 6 encodings"
    note = "what it is against finds the plain form only"
    return [
        Row(what, f"{median(alone):.1f} MB/s", against, f"{median(alone) / other:.2f}", "≥ 0.5", note),
        Row(f"{what}, with the proof", f"{median(ours):.1f} MB/s", against, f"{median(ours) / other:.2f}", "≥ 0.2"),
    ]


def _keys() -> dict[str, str]:
    choose = random.Random(1)

    def key(n: int) -> str:
        return f"{uuid.UUID(int=choose.getrandbits(128))}/My photo {n} (é & more).png"

    return {key(n): key(n) for n in range(KEYS)}


def _page(keys: list[str]) -> str:
    """An image after every 50 words."""
    choose, pieces, size = random.Random(2), [], 0
    while size < CHARACTERS:
        image = choose.choice(ENCODINGS)(choose.choice(keys))
        pieces.append(" ".join([*choose.choices(WORDS, k=50), f'<img src="https://cdn/{image}">\n']))
        size += len(pieces[-1])
    return "".join(pieces)


def _rate(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return CHARACTERS / 1e6 / (time.process_time() - began)


def _replace_each(page: str, keys: Mapping[str, str]) -> str:
    for old, new in keys.items():
        page = page.replace(old, new)
    return page


async def _stalls() -> Row:
    keys = _keys()
    async with ChildProcess(PAGE_PROCESS, timeout=120) as child:
        app = cast("App", SimpleNamespace(pages=child))
        await look(app, Page("", ""), keys)
        stalls = {name: await _stall(rewrite(app, Page(text, ""), keys, "key")) for name, text in HOSTILE.items()}
    worst, idle = max(stalls.values()), await _stall(asyncio.sleep(2))
    note = ", ".join(f"{name}: {stall * 1000:.0f} ms" for name, stall in stalls.items())
    against = f"{idle * 1000:.0f} ms: an idle loop for 2 s"
    return Row(
        "longest stall of the loop on hostile pages",
        f"{worst * 1000:.0f} ms",
        against,
        f"{worst / idle:.1f}",
        "< 50 ms",
        note,
    )


async def _stall(work: Awaitable[object]) -> float:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - began - 0.001)

    watching = asyncio.create_task(watch())
    await work
    watching.cancel()
    return longest
