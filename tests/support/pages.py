"""References in pages, and all the encodings in which a page may have them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus

from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.page_process import rewritten

FUNNEL, STEP = "65a1b2c3d4e5f60718293a4b", "fee012345678901234567890"
FORM = "0f8fad5b-d9cb-469f-a165-70867728950e"
FOLDER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
PHOTO, FUNNY, UNICODE = f"{FOLDER}/photo.png", f"{FOLDER}/My (best) photo & more.png", f"{FOLDER}/Grüße 😀.png"
NEW_FOLDER = "11111111-2222-3333-4444-555555555555"
MAP = {
    FUNNEL: "0123456789abcdef01234567",
    STEP: "89abcdef0123456789abcdef",
    FORM: "99999999-8888-7777-6666-555555555555",
    PHOTO: f"{NEW_FOLDER}/photo.png",
    FUNNY: f"{NEW_FOLDER}/My (best) photo & more.png",
    UNICODE: f"{NEW_FOLDER}/Grüße 😀.png",
}

Encoding = Callable[[str], str]


def json_text(text: str) -> str:
    return json.dumps(text)[1:-1]


def json_unicode(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def json_slashes(text: str) -> str:
    return json_text(text).replace("/", "\\/")


def html_numbers(text: str) -> str:
    return "".join(char if char.isalnum() else f"&#{ord(char)};" for char in text)


def html_hex(text: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else f"&#x{ord(char):X};" for char in text)


def percents(text: str) -> str:
    return quote(text, safe="")


def small_percents(text: str) -> str:
    return re.sub("%..", lambda escape: escape[0].lower(), percents(text))


def url(text: str) -> str:
    return quote(text)


def form_value(text: str) -> str:
    return quote_plus(text)


def css(text: str) -> str:
    return "".join(f"\\{char}" if char in " ()&" else char for char in text)


ENCODINGS: list[Encoding] = [
    str, url, percents, small_percents, form_value, html.escape, html_numbers, html_hex, json_text, json_unicode,
    json_slashes, css,
]  # fmt: skip


def rewrite_one(text: str, replacements: Mapping[str, str] = MAP, traces: int = 0) -> str:
    """The rewritten text; nothing may be left of the source but so many traces."""
    result = rewritten(Page(text, ""), dict(replacements), None)
    assert [one.trace for one in result.leftovers] == [True] * traces
    return result.page.html


def percents_in_html(text: str) -> str:
    return html.escape(url(text))
