"""What is emptied (an image or form that cannot be copied) leaves a page that means the same without it."""

from __future__ import annotations

import pytest

from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.page_process import rewritten
from tests.support.pages import FOLDER, FORM, PHOTO

URL = f"https://cdn/crm/{PHOTO}"
GOOD, NEW_GOOD = f"https://cdn/crm/{FOLDER}/good.png", "https://cdn/crm/new/good.png"
EMPTIED = {PHOTO: "", FORM: "", f"{FOLDER}/good.png": "new/good.png"}


def emptied(text: str) -> str:
    result = rewritten(Page(text.format(url=URL, key=PHOTO, form=FORM, good=GOOD), ""), EMPTIED, None)
    assert result.leftovers == ()
    return result.page.html


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("const a=`{url}?w=1`; const b=1;", "const a=``; const b=1;"),
        ("const a=`{url}?w=${{w}}&h={{h}}`;", "const a=``;"),
        ('<i data-a="{url}?w=1|{good}?w=2">', f'<i data-a="|{NEW_GOOD}?w=2">'),
        ("--bg:{url}?x=1}}b{{c:d}}", "--bg:}b{c:d}"),
        ("[{url}?x=1] {{{{img|{url}#x}}}} *{url}?x*", "[] {{img|}} **"),
        ('<img src="{url}?a[]=1&b[c]={{{{d}}}}&amp;e">', '<img src="">'),
    ],
)
def test_a_query_ends_with_its_string_or_item(before: str, after: str) -> None:
    assert emptied(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<img src={url} class=hero>", "<img src class=hero>"),
        ("<img src = {key}\n class=hero>", "<img src\n class=hero>"),
        ("<img src={url}?w=1 class=hero>", "<img src class=hero>"),
        ("<img src={url}/>", "<img src/>"),
        ("<img src={url}><a href={url}>x", "<img src=><a href=>x"),
        ('{{"a":"<img\\nsrc={url}\\nid=\\"x\\">"}}', '{"a":"<img\\nsrc\\nid=\\"x\\">"}'),
        (
            "<iframe data-f={form} width=1 src=/userform/{form} height=3>",
            "<iframe data-f width=1 src=/userform/ height=3>",
        ),
        ('<a href="/x?u={url} a"> see /x?f={form} a', '<a href="/x?u= a"> see /x?f= a'),
    ],
)
def test_an_emptied_value_without_quotes_does_not_take_the_next_attribute(before: str, after: str) -> None:
    assert emptied(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{url} 480w, {good} 960w", f"{NEW_GOOD} 960w"),
        ("{good} 1x, {url}?w=2 1.5x , {good} 2x", f"{NEW_GOOD} 1x, {NEW_GOOD} 2x"),
        ("{good} 1x,\n {url} 2x", f"{NEW_GOOD} 1x,\n "),
        ("{url}, {good} 2x", f", {NEW_GOOD} 2x"),
        ("{url} 2x4 {url} 2xl, {url} 2", " 2x4  2xl,  2"),
    ],
)
def test_an_emptied_candidate_of_a_srcset_takes_its_size_with_it(before: str, after: str) -> None:
    assert emptied(f'<img srcset="{before}" alt="x">') == f'<img srcset="{after}" alt="x">'
