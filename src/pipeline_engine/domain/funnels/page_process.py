"""The process in which pages are looked at and rewritten: `python -I -m pipeline_engine.domain.funnels.page_process`.

Reads a request and the page's texts in pieces, and answers likewise. A page may use 20 s of processor time, then the
kernel ends the process; and 2 GB more memory than the process had, then it fails. Its environment is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from pipeline_engine.domain.funnels.chat import chat_keys
from pipeline_engine.domain.funnels.form_ids import form_ids
from pipeline_engine.domain.funnels.leftovers import Proof
from pipeline_engine.domain.funnels.page import Left, Mentions, Page, Part, Rewritten
from pipeline_engine.domain.funnels.page_wire import Answer, Look, Request, Rewrite, decoded, encoded, pieces
from pipeline_engine.domain.funnels.references import References
from pipeline_engine.domain.funnels.rewrite import key_edits, replaced
from pipeline_engine.providers.child_work import answer, messages

SECONDS = 20.0
BYTES = 2 * 1024**3


def main() -> None:
    incoming = messages(SECONDS, BYTES)
    for message in incoming:
        request = decoded(message, Request)
        page = Page(_text(incoming, request.html), _text(incoming, request.components))
        try:
            result = done(request.work, page)
        except MemoryError:
            result = None
        for part in _told(result):
            answer(part)


def done(work: Look | Rewrite, page: Page) -> Mentions | Rewritten:
    if isinstance(work, Look):
        return mentions(page, frozenset(work.references))
    return rewritten(page, work.replacements, work.chat_key)


def mentions(page: Page, references: frozenset[str]) -> Mentions:
    known = _known(references)
    texts = (page.html, page.components)
    return Mentions(
        references=frozenset(found.reference for text in texts for found in known.find(text)),
        forms=frozenset().union(*map(form_ids, texts)),
        chat=bool(chat_keys(page.html)),
    )


def rewritten(page: Page, replacements: dict[str, str], chat_key: str | None) -> Rewritten:
    known = _known(frozenset(replacements))
    edits, widgets = ([], 0) if chat_key is None else key_edits(page.html, chat_key)
    html = replaced(page.html, known, replacements, edits)
    components = replaced(page.components, known, replacements)
    proof = Proof(replacements)
    texts: tuple[tuple[Part, str], ...] = (("html", html), ("components", components))
    left = tuple(Left(part, at, reference) for part, text in texts for at, reference in proof.left(text))
    return Rewritten(Page(html, components), widgets, left)


@lru_cache(4)
def _known(references: frozenset[str]) -> References:
    """The steps of a funnel ask for the same ones."""
    return References(references)


def _text(incoming: Iterator[bytes], count: int) -> str:
    return "".join(next(incoming).decode(errors="surrogatepass") for _ in range(count))


def _told(result: Mentions | Rewritten | None) -> Iterator[bytes]:
    if not isinstance(result, Rewritten):
        yield encoded(Answer(mentions=result))
        return
    html, components = pieces(result.page.html), pieces(result.page.components)
    yield encoded(Answer(rewritten=(result.chat_set, result.left), html=len(html), components=len(components)))
    for piece in (*html, *components):
        yield piece.encode(errors="surrogatepass")


if __name__ == "__main__":
    main()
