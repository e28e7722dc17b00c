"""What may be the id of a form: found however it is written, so that no clone's leads go to the source."""

from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from pipeline_engine.domain.funnels.page import Mentions, Page, RewrittenPage
from pipeline_engine.domain.funnels.page_process import MAX_IDS, MAX_IDS_READ, mentions, rewritten
from tests.support.pages import FORM, FUNNEL, MAP, rewrite_one

BREAKS = [
    "\n",
    "\r\n",
    "\\n",
    "\\r\\n",
    "\\\\n",
    "&#10;",
    "&#xD;&#xA;",
    "&amp;#10;",
    "%0A",
    "%250A",
    " ",
    "\n    ",
    "\\\n",
]
DASHES = [
    "%2D",
    "%2d",
    "%252D",
    "&#45;",
    "&#x2d;",
    "&amp;#45;",
    "\\u002d",
    "\\x2d",
    "\\2d ",
    "\\00002d",
    "\\-",
    "\\\\-",
]


def settings_of(id: str) -> str:
    return json.dumps({"formId": id, "x": 1})


@pytest.mark.parametrize("id", [FORM, FUNNEL, FORM.upper(), FORM.replace("-", "")])
@pytest.mark.parametrize("depth", range(6))
def test_an_id_is_found_however_often_it_was_encoded(depth: int, id: str) -> None:
    percent, escaped = settings_of(id), settings_of(id)
    for _ in range(depth):
        percent, escaped = quote(percent, safe=""), json.dumps(escaped)
    for text in (percent, escaped, quote(escaped), f"/go?u={percent}"):
        assert mentions(Page("", f'<i data-c="{text}">'), frozenset()).ids >= {id}, text
        assert rewrite_one(text, {id: MAP[FORM]}) == text.replace(id, MAP[FORM])


@pytest.mark.parametrize("before", ["%22", "%2522", "%5Cu0022", "%u0022", "\\u0022", "\\\\u0022", "\\x22", "page"])
@pytest.mark.parametrize("id", [FORM, FUNNEL])
def test_an_escape_before_an_id_is_no_part_of_it(before: str, id: str) -> None:
    assert mentions(Page(before + id, ""), frozenset()).ids == {id}
    assert rewrite_one(before + id, {id: MAP[id]}) == before + MAP[id]


@pytest.mark.parametrize("dash", DASHES)
def test_dashes_may_be_encoded(dash: str) -> None:
    text = f'<p>{"lorem ipsum " * 500}<input value="{FORM.replace("-", dash)}">'
    assert mentions(Page(text, ""), frozenset()).ids == {FORM}
    assert rewrite_one(text) == text.replace(FORM.replace("-", dash), MAP[FORM].replace("-", dash))


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("width", [64, 76])
def test_base64_may_be_wrapped(width: int, line_break: str) -> None:
    for shift in range(80):
        block = b64encode(f'{"b>" * shift}{{"form": "/?x=?{FORM}?", "id": "~{FUNNEL}"}}'.encode()).decode()
        wrapped = line_break.join(block[at : at + width] for at in range(0, len(block), width))
        page = Page("", f'{{"html_b64": "{wrapped}"}}')
        assert mentions(page, frozenset()).hidden >= {FORM, FUNNEL}, wrapped
        assert {one.reference for one in rewritten(page, {}, None, [FORM, FUNNEL]).leftovers} == {FORM, FUNNEL}


@pytest.mark.parametrize("end", ["", "?x=1", '"', "&quot;", "\\u0022", "%22", "/", "#a", " "])
@pytest.mark.parametrize("word", ["contact-form-1", "Contact_2", f"{FORM}x", "a" * 23])
def test_the_id_of_a_form_may_be_a_word(word: str, end: str) -> None:
    for text in (f"https://crm/userform/{word}{end}", f"https:\\/\\/crm\\/userform\\/{word}{end}"):
        seen = mentions(Page(text, f'class="{word}"'), frozenset())
        assert seen.ids - {FORM} == {word}
        assert seen.forms == frozenset()
    result = rewritten(Page(text, f'class="{word}"'), {f"/userform/{word}": f"/userform/{MAP[FORM]}"}, None)
    assert result == RewrittenPage(Page(text.replace(word, MAP[FORM]), f'class="{word}"'), 0, ())


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        ("b%2Dc", "b-c"),
        ("b\\u00e9", "bé"),
        ("b.js", None),
        ("{{id}}", None),
        ("${id}", None),
        ("?id=1", None),
        ("", None),
    ],
)
def test_a_word_is_read_to_its_end(rest: str, word: str | None) -> None:
    assert mentions(Page(f"/userform/{rest}", ""), frozenset()).ids == ({word} if word else frozenset())


def test_too_many_ids_are_said_to_be_too_many() -> None:
    def seen(count: int) -> Mentions:
        return mentions(Page(" ".join(f"{n:024x}" for n in range(count)), ""), frozenset())

    assert (len(seen(MAX_IDS).ids), seen(MAX_IDS).more) == (MAX_IDS, False)
    assert (len(seen(MAX_IDS + 1).ids), seen(MAX_IDS + 1).more) == (MAX_IDS, True)
    repeated = mentions(Page(f"{FUNNEL} " * (MAX_IDS_READ + 1), ""), frozenset())
    assert repeated.ids == {FUNNEL}
    assert repeated.more
