"""Looks at pages and rewrites them in a process of its own: what a tenant wrote may be large, or made to hurt."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.page import Mentions, Page, Rewritten
from pipeline_engine.domain.funnels.page_wire import PIECE, Answer, Look, Request, Rewrite, decoded, encoded, pieces
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.child_process import ChildProcess, Died, Pipe, TookTooLong
from pipeline_engine.repos.funnel_repos import FunnelRepos

LONGEST = 32 * 1024 * 1024  # characters of a page's texts together


async def look(app: App[FunnelRepos], page: Page, references: Collection[str]) -> Mentions:
    """Which of the references the page mentions, in whatever encoding; and the id of every `/userform/<id>`.

    Raises: Permanent when the page is too large or takes too long, Transient when the process cannot be had.
    """
    answer, _ = await _asked(app.pages, page, Look(sorted(references)))
    if answer.mentions is None:
        raise _too_large_for_memory(page)
    return answer.mentions


async def rewrite(app: App[FunnelRepos], page: Page, replacements: Mapping[str, str], chat_key: str | None) -> Rewritten:
    """The page with every reference replaced ('' empties it) and the key of its chat widgets set, if there is one.

    Raises: as `look`.
    """
    answer, written = await _asked(app.pages, page, Rewrite(dict(replacements), chat_key))
    if answer.rewritten is None:
        raise _too_large_for_memory(page)
    return Rewritten(written, *answer.rewritten)


async def _asked(child: ChildProcess, page: Page, work: Look | Rewrite) -> tuple[Answer, Page]:
    if _size(page) > LONGEST:
        raise Permanent(f"the page has {_size(page):,} characters, more than {LONGEST:,}", "page_too_large")

    async def exchange(pipe: Pipe) -> tuple[Answer, Page]:
        html, components = pieces(page.html), pieces(page.components)
        await pipe.send(encoded(Request(work, len(html), len(components))))
        for piece in (*html, *components):
            await pipe.send(piece.encode(errors="surrogatepass"))
        answer = decoded(await pipe.receive(), Answer)
        return answer, Page(await _text(pipe, answer.html), await _text(pipe, answer.components))

    try:
        return await child.talk(exchange, about=page.html[:PIECE])
    except TookTooLong:
        raise Permanent(f"the page ({_size(page):,} characters) takes too long", "page_too_hard") from None
    except Died as death:
        raise Transient(f"the process for pages: {death}") from None


def _size(page: Page) -> int:
    return len(page.html) + len(page.components)


def _too_large_for_memory(page: Page) -> Permanent:
    return Permanent(f"the page ({_size(page):,} characters) needs too much memory", "page_too_hard")


async def _text(pipe: Pipe, count: int) -> str:
    return "".join([(await pipe.receive()).decode(errors="surrogatepass") for _ in range(count)])
