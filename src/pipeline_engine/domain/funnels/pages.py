"""Has pages read and rewritten by a process of its own: a tenant's page may be very large, or made to do harm."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.page import (
    PIECE_CHARACTERS,
    FindMentions,
    Mentions,
    Page,
    PageAnswer,
    PageRequest,
    RewritePage,
    RewrittenPage,
    decode,
    decode_piece,
    encode,
    encode_piece,
    pieces,
)
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.child_process import ChildProcess, Died, Pipe, TookTooLong

MAX_CHARACTERS = 32 * 1024 * 1024
"""Of a page's html and components together."""


async def look(app: App, page: Page, references: Collection[str]) -> Mentions:
    """Those of the references that the page mentions, in whatever encoding; the id of every `/userform/<id>` and
    whatever else may be the id of a form; whether it has a chat widget.

    Raises: Permanent `page_too_large`, or `page_too_hard` when the page needs too much time or memory; Transient when
    the page process dies.
    """
    answer, _ = await _ask(app.pages, page, FindMentions(sorted(references)))
    if answer.mentions is None:
        raise _too_large_for_memory(page)
    return answer.mentions


async def rewrite(
    app: App, page: Page, replacements: Mapping[str, str], chat_key: str | None, traced: Collection[str] = ()
) -> RewrittenPage:
    """The page with every reference replaced ('' removes it) and, unless `chat_key` is None, the key of its chat
    widgets set. Of the references in `traced`, only traces are looked for.

    Raises: as `look`.
    """
    answer, written = await _ask(app.pages, page, RewritePage(dict(replacements), chat_key, list(traced)))
    if answer.rewritten is None:
        raise _too_large_for_memory(page)
    return RewrittenPage(written, *answer.rewritten)


async def _ask(child: ChildProcess, page: Page, work: FindMentions | RewritePage) -> tuple[PageAnswer, Page]:
    if _size(page) > MAX_CHARACTERS:
        raise Permanent(f"the page has {_size(page):,} characters, more than {MAX_CHARACTERS:,}", "page_too_large")

    async def exchange(pipe: Pipe) -> tuple[PageAnswer, Page]:
        html, components = pieces(page.html), pieces(page.components)
        await pipe.send(encode(PageRequest(work, len(html), len(components))))
        for piece in (*html, *components):
            await pipe.send(encode_piece(piece))
        answer = decode(await pipe.receive(), PageAnswer)
        return answer, Page(await _text(pipe, answer.html), await _text(pipe, answer.components))

    try:
        return await child.talk(exchange, about=page.html[:PIECE_CHARACTERS])
    except TookTooLong:
        raise Permanent(f"the page ({_size(page):,} characters) takes too long", "page_too_hard") from None
    except Died as death:
        raise Transient(f"the process for pages: {death}") from None


def _size(page: Page) -> int:
    return len(page.html) + len(page.components)


def _too_large_for_memory(page: Page) -> Permanent:
    return Permanent(f"the page ({_size(page):,} characters) needs too much memory", "page_too_hard")


async def _text(pipe: Pipe, count: int) -> str:
    return "".join([decode_piece(await pipe.receive()) for _ in range(count)])
