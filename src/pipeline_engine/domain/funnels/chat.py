"""The key of a page's chat widget: `<script custom-chat-widget="true" api-key="…">`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

OPENING = re.compile(r"<(?:(?:script|style)(?=[\s/>])|!--)", re.IGNORECASE)
# As a browser reads it, except that a bare "<" ends the tag: so the time is in proportion to the page's length.
ATTRIBUTE = re.compile(r"""[\s/]*+([^\s/><][^\s/>=<]*+)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|(?!["'])[^\s><]*+))?+""")
TAG_END = re.compile(r"[\s/]*+>")
CLOSING = {
    "<!--": re.compile("-->"),
    "<script": re.compile("</script", re.IGNORECASE),
    "<style": re.compile("</style", re.IGNORECASE),
}

Span = tuple[int, int]


def chat_keys(html: str) -> list[list[Span]]:
    """The spans of the key attributes of each chat widget, with their quotation marks.

    Text inside scripts, style sheets and comments is skipped.
    """
    return [keys for attributes in _script_tags(html) if (keys := _keys(html, attributes))]


def _keys(html: str, attributes: list[tuple[str, Span]]) -> list[Span]:
    values = {name: html[start:end].strip("\"'").strip().lower() for name, (start, end) in reversed(attributes)}
    if values.get("custom-chat-widget") != "true":
        return []
    return [span for name, span in attributes if name == "api-key"]


def _script_tags(html: str) -> Iterator[list[tuple[str, Span]]]:
    """The attributes with values of every script tag."""
    never_closed: set[str] = set()
    opening = OPENING.search(html)
    while opening:
        kind, at = opening[0].lower(), opening.end()
        if kind == "<script":
            attributes, at = _attributes(html, at)
            if end := TAG_END.match(html, at):
                at = end.end()
                yield attributes
            else:
                kind = ""
        if kind in CLOSING and kind not in never_closed:
            if closing := CLOSING[kind].search(html, at - 2):
                at = closing.end()
            else:
                never_closed.add(kind)
        opening = OPENING.search(html, at)


def _attributes(html: str, at: int) -> tuple[list[tuple[str, Span]], int]:
    """The attributes that start at `at`, and where the last one ends."""
    attributes = []
    while attribute := ATTRIBUTE.match(html, at):
        at = attribute.end()
        if attribute[2] is not None:
            attributes.append((attribute[1].lower(), attribute.span(2)))
    return attributes, at
