"""The process that reads and rewrites pages: `python -I -m pipeline_engine.domain.funnels.page_process`.

It answers one request after another. For each page it may use 20 s of processor time, after which the kernel ends
the process, and 2 GB more memory than it had, after which the page fails. Its environment is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from pipeline_engine.domain.funnels.chat import chat_keys
from pipeline_engine.domain.funnels.decoded_text import decoded_texts
from pipeline_engine.domain.funnels.leftovers import LeftoverFinder
from pipeline_engine.domain.funnels.page import (
    FindMentions,
    Leftover,
    Mentions,
    Page,
    PageAnswer,
    PageRequest,
    Part,
    RewritePage,
    RewrittenPage,
    decode,
    decode_piece,
    encode,
    encode_piece,
    pieces,
)
from pipeline_engine.domain.funnels.reference_finder import ReferenceFinder
from pipeline_engine.domain.funnels.rewrite import key_edits, replaced
from pipeline_engine.providers.child_work import answer, messages

CPU_SECONDS = 20.0
MEMORY_BYTES = 2 * 1024**3
FORM = re.compile(r"/userform/([0-9a-f-]{24,36})(?![\w-])", re.IGNORECASE)


def main() -> None:
    incoming = messages(CPU_SECONDS, MEMORY_BYTES)
    for message in incoming:
        request = decode(message, PageRequest)
        page = Page(_text(incoming, request.html), _text(incoming, request.components))
        try:
            result = _result(request.work, page)
        except MemoryError:
            result = None
        for part in _answers(result):
            answer(part)


def _result(work: FindMentions | RewritePage, page: Page) -> Mentions | RewrittenPage:
    if isinstance(work, FindMentions):
        return mentions(page, frozenset(work.references))
    return rewritten(page, work.replacements, work.chat_key)


def mentions(page: Page, references: frozenset[str]) -> Mentions:
    """What the page mentions, in whatever encoding. Pure."""
    finder = _finder(references)
    texts = (page.html, page.components)
    return Mentions(
        references=frozenset(found.reference for text in texts for found in finder.find(text)),
        forms=frozenset().union(*map(_form_ids, texts)),
        chat=bool(chat_keys(page.html)),
    )


def _form_ids(text: str) -> frozenset[str]:
    """The id of every `/userform/<id>`, spelled as in the text."""
    return frozenset(id for decoded in decoded_texts(text) for id in FORM.findall(decoded.text))


def rewritten(page: Page, replacements: dict[str, str], chat_key: str | None) -> RewrittenPage:
    """The page with every reference replaced and, unless `chat_key` is None, the key of its chat widgets set. Pure."""
    finder = _finder(frozenset(replacements))
    edits, widgets = ([], 0) if chat_key is None else key_edits(page.html, chat_key)
    html = replaced(page.html, finder, replacements, edits)
    components = replaced(page.components, finder, replacements)
    leftovers = LeftoverFinder(replacements)
    texts: tuple[tuple[Part, str], ...] = (("html", html), ("components", components))
    left = tuple(Leftover(part, at, reference) for part, text in texts for at, reference in leftovers.find(text))
    return RewrittenPage(Page(html, components), widgets, left)


@lru_cache(4)
def _finder(references: frozenset[str]) -> ReferenceFinder:
    """Compiled once for all steps of a funnel: they ask for the same references."""
    return ReferenceFinder(references)


def _text(incoming: Iterator[bytes], count: int) -> str:
    return "".join(decode_piece(next(incoming)) for _ in range(count))


def _answers(result: Mentions | RewrittenPage | None) -> Iterator[bytes]:
    if not isinstance(result, RewrittenPage):
        yield encode(PageAnswer(mentions=result))
        return
    html, components = pieces(result.page.html), pieces(result.page.components)
    head = PageAnswer(rewritten=(result.chat_set, result.leftovers), html=len(html), components=len(components))
    yield encode(head)
    yield from map(encode_piece, (*html, *components))


if __name__ == "__main__":
    main()
