"""Properties of the rewriting of pages: nothing else changes, nothing is chained, time is in proportion to the page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.funnels.decoded_text import DecodedText, decoded_texts, fully_decoded
from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.page_process import mentions, rewritten
from tests.support.pages import ENCODINGS, FOLDER, FUNNEL, MAP, PHOTO, Encoding, percents_in_html, rewrite_one

PAGES = Path(__file__).parent.parent / "pages"


@pytest.mark.covers("FC-X11")
@pytest.mark.parametrize("name", ["creative", "resume", "not_found"])
def test_real_pages_come_out_whole(name: str) -> None:
    page = (PAGES / f"{name}.html").read_text()
    assert rewrite_one(page) == page
    lines, encodings = page.splitlines(keepends=True), [*ENCODINGS, percents_in_html]
    forms = [(encoding, reference) for encoding in encodings for reference in MAP]

    def planted(choose: Callable[[str], str]) -> str:
        kept = [f'{line}<i data-x="{e(choose(r))}">' for line, (e, r) in zip(lines * 9, forms, strict=False)]
        return "".join([*kept, *lines])

    source = planted(lambda reference: reference)
    assert mentions(Page(source, ""), frozenset(MAP)).references == set(MAP)
    assert rewrite_one(source) == planted(lambda reference: MAP[reference])
    components = json.dumps({"html": source, "again": json.dumps({"html": source})})
    result = rewritten(Page("", components), MAP, None)
    assert json.loads(result.page.components)["html"] == planted(lambda reference: MAP[reference])
    assert result.leftovers == ()


TEXTS = st.text(max_size=60) | st.text("<>&;%#\\\"'/+-=. \nabfnu0123x", max_size=60)


@given(TEXTS)
def test_a_text_without_references_stays_byte_for_byte(text: str) -> None:
    result = rewritten(Page(text, text), MAP, None)
    assert (result.page, result.leftovers) == (Page(text, text), ())


@given(TEXTS, st.sampled_from(list(MAP)), st.lists(st.sampled_from(ENCODINGS), max_size=3), TEXTS)
def test_planted_references_are_replaced_and_the_rest_is_not(
    before: str, reference: str, encodings: list[Encoding], after: str
) -> None:
    def planted(reference: str) -> str:
        for encoding in encodings:
            reference = encoding(reference)
        return f'{before} "{reference}" {after}'

    assert rewrite_one(planted(reference)) == planted(MAP[reference])


NAMES = st.text("ab/", min_size=1, max_size=6).map(lambda name: f"k{name}z").filter(lambda name: "//" not in name)


@given(st.dictionaries(NAMES, NAMES, max_size=5), st.lists(NAMES, max_size=8))
def test_never_chained(replacements: dict[str, str], words: list[str]) -> None:
    result = rewritten(Page(" ".join(words), ""), replacements, None)
    assert result.page.html.split(" ") == " ".join(replacements.get(word, word) for word in words).split(" ")


@given(TEXTS)
def test_every_reading_knows_where_its_characters_stand(text: str) -> None:
    for reading in decoded_texts(DecodedText(text)):
        places = [reading.source(at) for at in range(len(reading.text) + 1)]
        assert places == sorted(set(places))
        assert (places[0], places[-1]) == (0, len(text)) or not text


def test_readings_in_all_encodings() -> None:
    for encoding in ENCODINGS:
        for again in ENCODINGS:
            assert fully_decoded(again(encoding("/é😀\"'&<"))).replace("+", " ") == "/é😀\"'&<"


@pytest.mark.covers("FC-X15")
@pytest.mark.parametrize(
    "piece",
    [
        "<script",
        "<script ",
        '<script custom-chat-widget="true" ',
        '<script x="<script ',
        "<script x='",
        '<script "',
        "<!--",
        "<script>",
        "<script a",
        "<script =",
        "%25",
        "%",
        "%25252f",
        "&amp;",
        "&",
        "&#",
        "\\",
        "\\u",
        "%C3",
        "/userform/",
        "/userform/a",
        FUNNEL,
        FUNNEL[:-1],
        FOLDER,
        FOLDER + "/",
        PHOTO[:-1],
        "&#38;amp;",
        "%26amp%3B",
        "\\ud83d",
        "0",
        "a-",
    ],
)
def test_time_is_in_proportion_to_the_page(piece: str) -> None:
    def seconds(size: int) -> float:
        page = Page(piece * (size // len(piece)), "")
        began = time.process_time()
        mentions(page, frozenset(MAP))
        rewritten(page, MAP, "NEW")
        return time.process_time() - began

    small = min(seconds(20_000) for _ in range(3))
    assert min(seconds(160_000) for _ in range(3)) < 8 * 4 * small + 0.1
