"""Pages are rewritten in a process of their own: the loop is free, and nothing a tenant wrote can hurt it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from pipeline_engine.app import PAGE_PROCESS, App
from pipeline_engine.domain.funnels.page import Mentions, Page
from pipeline_engine.domain.funnels.pages import MAX_CHARACTERS, look, rewrite
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.child_process import ChildProcess
from tests.support.load import load_factor

FUNNEL, NEW = "65a1b2c3d4e5f60718293a4b", "0123456789abcdef01234567"
KEY = "7c9e6679-7425-40de-944b-e07fc1f90ae7/a b.png"
MAP = {FUNNEL: NEW, KEY: "11111111-2222-3333-4444-555555555555/a b.png"}
MILLION = 1_000_000


def app_of(child: ChildProcess) -> App:
    """All of the app that pages need."""
    return cast("App", SimpleNamespace(pages=child))


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with ChildProcess(PAGE_PROCESS, timeout=120) as child:
        yield app_of(child)


def processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if PAGE_PROCESS in child.cmdline()]


class Lag:
    """The longest that the loop was held up by what this process computed, in seconds of its own processor time: what
    its neighbours on the machine do is not its fault."""

    async def __aenter__(self) -> Lag:
        self.longest = 0.0
        self._watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.thread_time() - began)


async def test_pages_are_looked_at_and_rewritten(app: App) -> None:
    page = Page(f'é\ud800<a href="/userform/{FUNNEL}?x">', f'{{"a":"https:\\/\\/cdn\\/{KEY}"}}')
    assert await look(app, page, [*MAP, NEW]) == Mentions(frozenset(MAP), frozenset([FUNNEL]), chat=False)
    result = await rewrite(app, page, MAP, None)
    assert result.page.html == f'é\ud800<a href="/userform/{NEW}?x">'
    assert result.page.components == page.components.replace(KEY, MAP[KEY])
    assert (result.chat_set, result.leftovers) == (0, ())
    assert (await rewrite(app, Page("", ""), {}, "key")).page == Page("", "")


@pytest.mark.covers("FC-X15")
@pytest.mark.parametrize(
    "html",
    [
        "<script" * 16_000,
        '<script custom-chat-widget="true"' * 800,
        '<script x="<script ' * 50_000,
        "%25252f" * (MILLION // 7),
        "&amp;#x2F;" * (MILLION // 10),
        f'<p class="x">{FUNNEL} {KEY} &amp; lorem ipsum %20 dolor</p>' * 10_000,
        f"{KEY[:-1]}" * 20_000,
        "é%20" * (MILLION // 4),
    ],
    ids=lambda html: html[:12],
)
async def test_hostile_pages_do_not_hold_up_the_loop(app: App, html: str) -> None:
    page = Page(html, "[" * 100_000 + f'"{FUNNEL}"' + "]" * 100_000)
    await look(app, Page("", ""), [])
    async with Lag() as lag:
        mentions = await look(app, page, MAP)
        result = await rewrite(app, page, MAP, "key")
    assert lag.longest < 0.05 * load_factor()
    assert FUNNEL in mentions.references
    assert result.page.components == page.components.replace(FUNNEL, NEW)
    assert all(one.trace for one in result.leftovers)


async def test_twenty_megabytes_do_not_hold_up_the_loop(app: App) -> None:
    page = Page(("<p>" + "lorem é ipsum " * 1000 + f"{FUNNEL}</p>\n") * 1420, "{}")
    assert len(page.html) > 19 * MILLION
    await look(app, Page("", ""), [])
    async with Lag() as lag:
        result = await rewrite(app, page, MAP, None)
    assert lag.longest < 0.05 * load_factor()
    assert result.page.html == page.html.replace(FUNNEL, NEW)


async def test_a_page_that_takes_too_long_is_refused_and_the_next_is_served(app: App) -> None:
    await look(app, Page("", ""), [])
    (process,) = processes()
    process.suspend()
    rewriting = asyncio.create_task(rewrite(app, Page(FUNNEL, ""), MAP, None))
    await asyncio.sleep(0)
    process.send_signal(signal.SIGPROF)  # as the kernel does when the time is up
    process.resume()
    with pytest.raises(Permanent, match=r"the page \(24 characters\) takes too long"):
        await rewriting
    assert (await rewrite(app, Page(FUNNEL, ""), MAP, None)).page.html == NEW


async def test_a_page_that_is_too_large_is_refused(app: App) -> None:
    page = Page("x" * MAX_CHARACTERS, "y")
    for work in (look(app, page, []), rewrite(app, page, {}, None)):
        with pytest.raises(Permanent, match=r"33,554,433 characters, more than 33,554,432"):
            await work
    assert not processes()


async def test_a_process_that_was_killed_is_replaced_unnoticed(app: App) -> None:
    await look(app, Page("", ""), [])
    (process,) = processes()
    process.kill()
    process.wait(5)
    assert (await look(app, Page(FUNNEL, ""), [FUNNEL])).references == {FUNNEL}


async def test_a_process_that_cannot_be_had_is_a_passing_trouble() -> None:
    async with ChildProcess("pipeline_engine.no_such_program", timeout=30) as child:
        with pytest.raises(Transient, match="ended with 1"):
            await look(app_of(child), Page("", ""), [])


async def test_a_process_that_hangs_is_a_passing_trouble() -> None:
    async with ChildProcess(PAGE_PROCESS, timeout=10) as child:
        await look(app_of(child), Page("", ""), [])
        (process,) = processes()
        process.suspend()
        child._timeout = 0.2
        with pytest.raises(Transient, match=r"within 0\.2 s"):
            await look(app_of(child), Page("", ""), [])
        assert process not in processes()


async def test_it_has_no_environment_and_ends_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_SECRET", "not for pages")
    async with ChildProcess(PAGE_PROCESS, timeout=30) as child:
        await look(app_of(child), Page("", ""), [])
        (process,) = processes()
        assert process.environ() == {}
        assert process.rlimit(psutil.RLIMIT_NPROC) == (0, 0)
    assert not process.is_running()


async def test_twins_share_the_pages_and_end_with_their_owner() -> None:
    async with ChildProcess(PAGE_PROCESS, timeout=60, pool_size=2) as child:
        pages = [Page(f"{n} {FUNNEL}", "") for n in range(40)]
        results = await asyncio.gather(*(rewrite(app_of(child), page, MAP, None) for page in pages))
        assert [one.page.html for one in results] == [f"{n} {NEW}" for n in range(40)]
        assert len(processes()) == 2
    assert processes() == []
