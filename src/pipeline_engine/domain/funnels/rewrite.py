"""Replaces references in a text: each once, and in the encoding in which the text has it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import quote

from pipeline_engine.domain.funnels.chat import chat_keys
from pipeline_engine.domain.funnels.decoded_text import fully_decoded
from pipeline_engine.domain.funnels.reference_finder import FoundReference, ReferenceFinder

SAFE = re.compile(r"[\w./~-]*", re.ASCII)
ENCODED_PERCENT = re.compile("%(?:25)*(?=[0-9a-fA-F]{2}$)")

Edit = tuple[int, int, str]
"""Start, end and the new text between them."""


def replaced(text: str, finder: ReferenceFinder, replacements: Mapping[str, str], edits: Iterable[Edit] = ()) -> str:
    """The text with the edits made and every reference replaced that no edit covers."""
    found = [(one.start, one.end, _written(text, one, replacements[one.reference])) for one in finder.find(text)]
    return _edited(text, sorted([*edits, *found], key=lambda edit: edit[0]))


def key_edits(html: str, key: str) -> tuple[list[Edit], int]:
    """The edits that set the key of every chat widget, and the number of widgets."""
    widgets = chat_keys(html)
    return [(start, end, _attribute(html[start:end], key)) for keys in widgets for start, end in keys], len(widgets)


def _attribute(old: str, value: str) -> str:
    mark = old[:1] if old[:1] in {'"', "'"} else '"'
    return f"{mark}{escape(value)}{mark}"


def _edited(text: str, edits: Iterable[Edit]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end, new in edits:
        if start >= at:
            pieces += (text[at:start], new)
            at = end
    return "".join(pieces) + text[at:]


def _written(text: str, found: FoundReference, new: str) -> str:
    """`new` in the encoding of what it replaces. The end that both share (mostly the file's name) stays untouched."""
    if found.text != found.reference:
        new = fully_decoded(new)
    kept = _common_end(found.text, new)
    size = len(found.text) - kept
    start, end = found.start, found.decoded.source(found.at + size)
    raw = text[start:end]
    changed = new[: len(new) - kept]
    if raw != found.text[:size] or not SAFE.fullmatch(changed):
        changed = "".join(_spelled(changed, _spellings(text, found)))
    return changed + text[end : found.end]


def _common_end(old: str, new: str) -> int:
    size = 0
    for one, other in zip(reversed(old), reversed(new), strict=False):
        if one != other and (one, other) != ("+", " "):
            break
        size += 1
    return size


def _spellings(text: str, found: FoundReference) -> dict[str, str]:
    """{character of the reference: how the source spells it}."""
    places = [found.decoded.source(at) for at in range(found.at, found.at + len(found.text) + 1)]
    return {char: text[places[n] : places[n + 1]] for n, char in enumerate(found.text)}


def _spelled(new: str, spellings: Mapping[str, str]) -> Iterable[str]:
    """`new` in the spellings of the source. Other characters become percent-encoded, which breaks no markup or JSON."""
    percents = [match[0] for spelling in spellings.values() if (match := ENCODED_PERCENT.match(spelling))]
    for char in new:
        if char in spellings:
            yield spellings[char]
        elif SAFE.fullmatch(char):
            yield char
        else:
            yield quote(char, safe="").replace("%", percents[0] if percents else "%")
