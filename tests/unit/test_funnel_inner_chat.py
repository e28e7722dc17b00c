"""The chat key in components: their HTML stands in JSON."""

from __future__ import annotations

import html
import json

import pytest

from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.page_process import mentions, rewritten

FUNNEL, NEW = "6b1111111111111111111111", "6b2222222222222222222222"
TAG = '<div class="x"></div><script src="/chat.js" custom-chat-widget="true" api-key="{0}"></script><p>é "x" \\ y</p>'


def nested(value: object, times: int) -> str:
    text = json.dumps({"blocks": [{"html": value}, FUNNEL]})
    return text if times == 1 else json.dumps({"data": nested(value, times - 1)})


@pytest.mark.parametrize("tag", [TAG, TAG.replace('"', "'"), TAG.replace('"{0}"', "{0}"), f"<!-- x -->{TAG}" * 3])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.covers("FC-16", "FC-X15")
def test_the_key_is_set_in_json_however_deep(tag: str, times: int) -> None:
    components = nested(tag.format("old"), times)
    result = rewritten(Page("", components), {FUNNEL: NEW}, "the-key")

    expected = tag.format("the-key") if '"{0}"' in tag or "'{0}'" in tag else tag.format("'the-key'")
    assert result.page.components == nested(expected, times).replace(FUNNEL, NEW)
    assert result.chat_set == tag.count("api-key")
    assert mentions(Page("", components), frozenset()).chat


@pytest.mark.parametrize("token", ["$1$&", r"\1\g<0>", '"><script>alert(1)</script>', "a'b", "a\nb", "ü"])
@pytest.mark.covers("FC-X15")
def test_no_key_breaks_the_json(token: str) -> None:
    result = rewritten(Page("", nested(TAG.format("old"), 2)), {}, token)
    inner = json.loads(json.loads(result.page.components)["data"])["blocks"][0]["html"]
    assert html.unescape(inner) == html.unescape(TAG).format(token)


@pytest.mark.parametrize(
    "components",
    [
        "",
        "{}",
        nested("<p>custom-chat-widget</p>", 1),
        nested('<script custom-chat-widget="false" api-key="old"></script>', 1),
        nested('<script custom-chat-widget="true"></script>', 1),
        nested('<!-- <script custom-chat-widget="true" api-key="old"></script> -->', 1),
        json.dumps({"custom-chat-widget": "true", "api-key": "old"}),
    ],
)
def test_what_is_no_widget_stays(components: str) -> None:
    result = rewritten(Page("", components), {}, "NEW")
    assert (result.page.components, result.chat_set) == (components, 0)
    assert not mentions(Page("", components), frozenset()).chat


def test_without_a_key_the_widget_stays_and_is_seen() -> None:
    components = nested(TAG.format("old"), 1)
    assert rewritten(Page("", components), {}, None).page.components == components
    assert mentions(Page("", components), frozenset()).chat


def test_components_that_are_plain_html_count_too() -> None:
    assert rewritten(Page("", TAG.format("old")), {}, "NEW").page.components == TAG.format("NEW")


@pytest.mark.covers("FC-16")
def test_widgets_of_html_and_components_are_the_same_ones() -> None:
    page = Page(TAG.format("old"), nested(TAG.format("old"), 1))
    assert rewritten(page, {}, "NEW").chat_set == 1
