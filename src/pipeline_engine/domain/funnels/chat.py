"""The key of a page's chat widget: `<script custom-chat-widget="true" api-key="…">`."""

from __future__ import annotations

import re
from collections.abc import Iterator

BEGIN = re.compile(r"<(?:script(?=[\s/>])|!--)", re.IGNORECASE)
# As a browser reads it, save that a bare "<" ends the tag: so the time is in proportion to the page, whatever it holds.
ATTRIBUTE = re.compile(r"""[\s/]*+([^\s/><][^\s/>=<]*+)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|(?!["'])[^\s><]*+))?+""")
END = re.compile(r"[\s/]*+>")
AFTER = {"<!--": re.compile("-->"), "<script": re.compile("</script", re.IGNORECASE)}

Span = tuple[int, int]


def chat_keys(html: str) -> list[list[Span]]:
    """Where the keys of each widget stand, quotation marks and all; scripts and comments are not looked into."""
    return [keys for attributes in _script_tags(html) if (keys := _keys(html, attributes))]


def _keys(html: str, attributes: list[tuple[str, Span]]) -> list[Span]:
    values = {name: html[start:end].strip("\"'").strip().lower() for name, (start, end) in reversed(attributes)}
    if values.get("custom-chat-widget") != "true":
        return []
    return [span for name, span in attributes if name == "api-key"]


def _script_tags(html: str) -> Iterator[list[tuple[str, Span]]]:
    """The attributes with values of every script's tag."""
    never_closed: set[str] = set()
    begin = BEGIN.search(html)
    while begin:
        kind, at = begin[0].lower(), begin.end()
        if kind == "<script":
            attributes, at = _attributes(html, at)
            if end := END.match(html, at):
                at = end.end()
                yield attributes
            else:
                kind = ""
        if kind in AFTER and kind not in never_closed:
            if close := AFTER[kind].search(html, at - 2):
                at = close.end()
            else:
                never_closed.add(kind)
        begin = BEGIN.search(html, at)


def _attributes(html: str, at: int) -> tuple[list[tuple[str, Span]], int]:
    """Those from `at` on, and where they end."""
    attributes = []
    while attribute := ATTRIBUTE.match(html, at):
        at = attribute.end()
        if attribute[2] is not None:
            attributes.append((attribute[1].lower(), attribute.span(2)))
    return attributes, at
