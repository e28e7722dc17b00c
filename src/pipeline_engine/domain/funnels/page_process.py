"""The process that reads and rewrites pages: `python -I -m pipeline_engine.domain.funnels.page_process`.

It answers one request after another. For each page it may use 20 s of processor time, after which the kernel ends
the process, and 2 GB more memory than it had, after which the page fails. Its environment is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from uuid import UUID

from pipeline_engine.domain.funnels.chat import chat_keys
from pipeline_engine.domain.funnels.decoded_text import decoded_texts
from pipeline_engine.domain.funnels.inner_chat import inner_key_edits
from pipeline_engine.domain.funnels.leftovers import LeftoverFinder
from pipeline_engine.domain.funnels.marks import base64_texts
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
from pipeline_engine.domain.funnels.possible_ids import possible_ids
from pipeline_engine.domain.funnels.reference_finder import ReferenceFinder
from pipeline_engine.domain.funnels.rewrite import key_edits, replaced
from pipeline_engine.domain.funnels.stretches import Stretches
from pipeline_engine.providers.child_work import answer, messages

CPU_SECONDS = 20.0
MEMORY_BYTES = 2 * 1024**3
UUID_CHARACTERS = 36
MAX_IDS = 5_000
"""Of a page, that may be ids of forms."""
MAX_IDS_READ = 100_000
FORM = re.compile(r"/userform/([0-9a-f-]{24,36})(?![\w-])", re.IGNORECASE)
# The id of a form may also be a word. An escape after it may belong to it.
WORD = re.compile(r"/userform/([\w-]{1,64})(?![\w-]|\.\w|%[2-7][0-9a-f]|\\+[ux])", re.IGNORECASE)


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
    return rewritten(page, work.replacements, work.chat_key, work.traced)


def mentions(page: Page, references: frozenset[str]) -> Mentions:
    """What the page mentions, in whatever encoding. Pure."""
    finder, around_forms = _finder(references), _around_forms()
    texts = (page.html, page.components)
    plain = [one.text for text in texts for one in decoded_texts(around_forms.of(text))]
    forms = frozenset(id for text in plain for id in FORM.findall(text))
    known = forms | {reference[:UUID_CHARACTERS] for reference in references}
    words = (id for text in plain for id in WORD.findall(text))
    ids, more = _some(id for id in chain(words, *map(possible_ids, (*texts, *plain))) if id not in known)
    inner = (inner for text in texts for _, inner in base64_texts(text))
    known |= ids
    hidden, more_hidden = _some(id for text in inner for id in possible_ids(text) if id not in known)
    return Mentions(
        references=frozenset(found.reference for text in texts for found in finder.find(text)),
        forms=forms,
        chat=bool(chat_keys(page.html)) or inner_key_edits(page.components, "")[1] > 0,
        ids=ids,
        hidden=hidden,
        more=more or more_hidden,
    )


def _some(ids: Iterator[str]) -> tuple[frozenset[str], bool]:
    """The first of the ids, and whether there are more."""
    different = dict.fromkeys(islice(ids, MAX_IDS_READ))
    return frozenset(islice(different, MAX_IDS)), len(different) > MAX_IDS or next(ids, None) is not None


@lru_cache(1)
def _around_forms() -> Stretches:
    return Stretches([f"/userform/{UUID(int=0)}"])


def rewritten(
    page: Page, replacements: dict[str, str], chat_key: str | None, traced: Iterable[str] = ()
) -> RewrittenPage:
    """The page with every reference replaced and, unless `chat_key` is None, the key of its chat widgets set. Pure."""
    finder = _finder(frozenset(replacements))
    edits, widgets = ([], 0) if chat_key is None else key_edits(page.html, chat_key)
    inner_edits, inner_widgets = ([], 0) if chat_key is None else inner_key_edits(page.components, chat_key)
    html = replaced(page.html, finder, replacements, edits)
    components = replaced(page.components, finder, replacements, inner_edits)
    leftovers = _leftover_finder(frozenset(replacements.items()), frozenset(traced))
    texts: tuple[tuple[Part, str], ...] = (("html", html), ("components", components))
    left = tuple(Leftover(part, *one) for part, text in texts for one in leftovers.find(text))
    return RewrittenPage(Page(html, components), max(widgets, inner_widgets), left)  # mostly the same widgets


@lru_cache(4)
def _finder(references: frozenset[str]) -> ReferenceFinder:
    """Compiled once for all steps of a funnel: they ask for the same references."""
    return ReferenceFinder(references)


@lru_cache(4)
def _leftover_finder(replacements: frozenset[tuple[str, str]], traced: frozenset[str]) -> LeftoverFinder:
    return LeftoverFinder(dict(replacements), traced)


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
