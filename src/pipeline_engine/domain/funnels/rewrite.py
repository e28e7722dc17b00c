"""Replaces references in a text: each once, and in the encoding in which the text has it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from string import ascii_letters, digits
from typing import Literal
from unicodedata import is_normalized, normalize
from urllib.parse import quote

from pipeline_engine.domain.funnels.chat import chat_keys
from pipeline_engine.domain.funnels.decoded_text import fully_decoded
from pipeline_engine.domain.funnels.reference_finder import FoundReference, ReferenceFinder

SAFE = re.compile(r"[\w./~-]*", re.ASCII)
ENCODED_PERCENT = re.compile("%(?:25)*(?=[0-9a-fA-F]{2}$)")
ENTITY_WITHOUT_END = re.compile(r"&(?:amp;)*#?\w+")
UNICODE_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
MAX_ADDRESS = 500  # characters before and after the key
ADDRESS_CHARACTERS = ascii_letters + digits + "_.~:@/+-"
HOST = re.compile("(?:https?:)?//", re.IGNORECASE)
# To what ends an attribute, a string, a url() or an item of a list, also where this is escaped. Brackets belong to it
# if a name is between them.
QUERY = re.compile(
    r"""[?#] (?: [^\s"'`<>()\[\]{}|*\\,;&%] | &(?!quot|apos|lt|gt|nbsp|\#) | (?<=&amp); | %(?!2[27]|3[ce])
        | \[[\w-]*\] | \{\{[\w.]+\}\} | \{[\w.]+\} )*+""",
    re.IGNORECASE | re.VERBOSE,
)
# Of an image in a srcset. A value that came after it alone would be taken for an address.
DESCRIPTOR = re.compile(r"""\s+[0-9.]+[wx](?:\s*,\s*|(?=\s*(?:["'&\\<]|\Z)))""")
# `src=` before a blank would take the next attribute as its value; `src` alone is empty.
EQUALS_SIGN = re.compile(r"(?<![\w:.@?&;#-])[\w:.@-]+(\s*=\s*)\Z")
AFTER_VALUE = re.compile(r"\s|/>|\\+[nrt]")
MAX_NAME = 64  # characters, of an attribute with its equals sign
CSS_DIGIT = re.compile(r"(\\+0*3)[0-9]([ \t\n\f]?)")

Edit = tuple[int, int, str]
"""Start, end and the new text between them."""


def replaced(text: str, finder: ReferenceFinder, replacements: Mapping[str, str], edits: Iterable[Edit] = ()) -> str:
    """The text with the edits made and every reference replaced that no edit covers."""
    whole = any(not new and "/" in old for old, new in replacements.items())  # for the addresses of emptied images
    found = [_edit(text, one, replacements[one.reference]) for one in finder.find(text, whole)]
    return _edited(text, sorted([*edits, *found], key=lambda edit: edit[0]))


def _edit(text: str, found: FoundReference, new: str) -> Edit:
    if new:
        return found.start, found.end, _written(text, found, new)
    start, end = _address(found) if "/" in found.reference else (found.start, found.end)
    if AFTER_VALUE.match(text, end) and (equals := EQUALS_SIGN.search(text, max(0, start - MAX_NAME), start)):
        start = equals.start(1)
    return start, end, ""


def _address(found: FoundReference) -> tuple[int, int]:
    """Where the address begins and ends that leads to this image: what would be left of it requests the bucket."""
    decoded, start, end = found.decoded, found.at, found.at + len(found.text)
    before = decoded.text[max(0, start - MAX_ADDRESS) : start]
    path = before[len(before.rstrip(ADDRESS_CHARACTERS)) :]
    if path.endswith("/"):
        host = HOST.search(path)
        start += (host.start() if host else path.rfind(":") + 1) - len(path)
        end = _end_of(QUERY, decoded.text, end)
    return decoded.source(start), decoded.source(_end_of(DESCRIPTOR, decoded.text, end))


def _end_of(what: re.Pattern[str], text: str, at: int) -> int:
    """Where it ends, if it stands there."""
    match = what.match(text, at, at + MAX_ADDRESS)
    return match.end() if match else at


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
        new = _in_form_of(found, fully_decoded(new))
    kept = _common_end(found.text, new)
    size = len(found.text) - kept
    start, end = found.start, found.decoded.source(found.at + size)
    raw = text[start:end]
    changed = new[: len(new) - kept]
    if raw != found.text[:size] or not SAFE.fullmatch(changed):
        spelled = [*_spelled(changed, _spellings(text, found))]
        if changed[:1] in {*digits} and (digit := CSS_DIGIT.match(raw)):  # no name in CSS begins with a plain one
            spelled[0] = f"{digit[1]}{changed[0]}{digit[2]}"
        changed = "".join(spelled)
    return changed + text[end : found.end]


def _in_form_of(found: FoundReference, new: str) -> str:
    """`new` with composed characters where the text has them, decomposed ones where it has those."""
    for form in UNICODE_FORMS:
        if is_normalized(form, found.text) and not is_normalized(form, found.reference):
            return normalize(form, new)
    return new


def _common_end(old: str, new: str) -> int:
    """How many characters at their ends are the same; a plus in the old one may mean a space."""
    if "+" in old:
        old = "".join(" " if (one, other) == ("+", " ") else one for one, other in _aligned(old, new))
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle :] == new[len(new) - middle :]:
            low = middle
        else:
            high = middle - 1
    return low


def _aligned(old: str, new: str) -> Iterator[tuple[str, str]]:
    """Each character of the old text with that of the new one which is as far from its end."""
    missing = len(old) - len(new)
    return zip(old, new[-missing:] if missing < 0 else "\0" * missing + new, strict=True)


def _spellings(text: str, found: FoundReference) -> dict[str, str]:
    """{character of the reference: how the source spells it}."""
    places = [found.decoded.source(at) for at in range(found.at, found.at + len(found.text) + 1)]
    return {char: _ended(text[places[n] : places[n + 1]]) for n, char in enumerate(found.text)}


def _ended(spelling: str) -> str:
    """An entity without its semicolon would go on with the digit after it."""
    return f"{spelling};" if ENTITY_WITHOUT_END.fullmatch(spelling) else spelling


def _spelled(new: str, spellings: Mapping[str, str]) -> Iterable[str]:
    """`new` in the spellings of the source. Other characters become percent-encoded, which breaks no markup or JSON."""
    percents = [match[0] for spelling in spellings.values() if (match := ENCODED_PERCENT.match(spelling))]
    for char in new:
        if char in spellings:
            yield spellings[char]
        elif SAFE.fullmatch(char):
            yield char
        else:
            yield quote(char, safe="", errors="surrogateescape").replace("%", percents[0] if percents else "%")
