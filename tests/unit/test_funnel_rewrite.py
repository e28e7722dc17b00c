"""References in pages: found in every encoding, replaced once and in the same encoding, proven gone."""

from __future__ import annotations

import html
import json

import pytest

from pipeline_engine.domain.funnels.leftovers import WINDOW, LeftoverFinder
from pipeline_engine.domain.funnels.page import Leftover, Page
from pipeline_engine.domain.funnels.page_process import mentions, rewritten
from tests.support.pages import (
    ENCODINGS,
    FOLDER,
    FORM,
    FUNNEL,
    FUNNY,
    MAP,
    PHOTO,
    STEP,
    Encoding,
    html_hex,
    html_numbers,
    json_slashes,
    percents,
    rewrite_one,
)


@pytest.mark.covers("FC-13", "FC-X11")
@pytest.mark.parametrize("outer", ENCODINGS)
@pytest.mark.parametrize("inner", ENCODINGS)
@pytest.mark.parametrize("reference", MAP)
def test_every_form_is_replaced_in_its_own_encoding(reference: str, inner: Encoding, outer: Encoding) -> None:
    def planted(reference: str) -> str:
        return f'<img src="{outer(inner(f"https://cdn/{reference}"))}">'

    page = planted(reference)
    assert mentions(Page(page, ""), frozenset(MAP)).references == {reference}
    assert rewrite_one(page) == planted(MAP[reference])


@pytest.mark.covers("FC-X11")
@pytest.mark.parametrize(
    "form",
    [
        '<img srcset="https://cdn/{} 1x, https://cdn/{} 2x">',
        "<div style=\"background:url('//cdn/{}')\">",
        "<style>a{{background:url(/{})}}</style>",
        '<div data-props=\'{{"img":"{}"}}\'>',
        '<div data-props="{{&quot;img&quot;:&quot;{}&quot;}}">',
        "<!--{}-->",
        "<a href=https://cdn/{}>x</a>",
        "<a href=https://cdn/{}/>",
        "see https://cdn/{}.",
        "<a href='?next=%22{}%22&amp;x=1'>",
        'var a = "first\\n{}\\n";',
        "{}?w=100#top",
        "a,{},b;{};",
    ],
)
@pytest.mark.parametrize("reference", [PHOTO, FUNNEL, FORM])
def test_wherever_it_stands(form: str, reference: str) -> None:
    places = form.count("{}")
    assert rewrite_one(form.format(*[reference] * places)) == form.format(*[MAP[reference]] * places)


@pytest.mark.covers("FC-X11")
@pytest.mark.parametrize(
    "text",
    [
        f"a{FUNNEL}",
        f"{FUNNEL}0",
        f"{FUNNEL}F",
        f"%25{FUNNEL}0",
        f"\\u00e9{FUNNEL}a",
        f"x{PHOTO}",
        f"-{'x'}-{PHOTO}",
        f"{PHOTO}.webp",
        f"{PHOTO}-small",
        f"{PHOTO}/thumb",
        f"{PHOTO}%2Fthumb",
        f"{PHOTO}\\u00e9",
        f"é{PHOTO}",
        f"{FORM}0",
        f"a{FORM}",
        FOLDER,
        PHOTO.replace("png", "PNG"),
    ],
)
def test_longer_ids_and_keys_are_not_touched_but_named(text: str) -> None:
    assert rewrite_one(f'<a href="{text}">', traces=1) == f'<a href="{text}">'
    assert not mentions(Page(text, text), frozenset(MAP)).references


@pytest.mark.covers("FC-X11")
def test_the_longest_match_wins_and_nothing_is_replaced_twice() -> None:
    chain = {"a/b.png": "b/c.png", "b/c.png": "c/d.png", "a/b": "wrong", "a/b.png.webp": "webp"}
    assert rewrite_one("a/b.png b/c.png a/b.png.webp a/b a/b", chain) == "b/c.png c/d.png webp wrong wrong"
    assert rewrite_one("a.png", {"a.png": "v/a.png"}) == "v/a.png"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("k/a b.png", "n/2"),
        ("k/a&amp;b.png", "n/3"),
        ("k/a&amp;c.png", "n/1&amp;c.png"),
        ("k/a k/k/k.png", "n/1 k/n/5"),
    ],
)
def test_the_longest_match_wins_in_all_readings(text: str, after: str) -> None:
    keys = {"k/a": "n/1", "k/a b.png": "n/2", "k/a&b.png": "n/3", "b.png": "n/4", "k/k.png": "n/5", "k/k": "n/6"}
    assert rewrite_one(text, keys) == after
    assert mentions(Page(text, ""), frozenset(keys)).references == {key for key in keys if keys[key] in after}


def test_an_emptied_reference_leaves_nothing() -> None:
    assert rewrite_one(f'<img src="{FUNNY}">{FORM}', {FUNNY: "", FORM: ""}) == '<img src="">'


def test_an_id_may_be_written_in_capitals() -> None:
    assert rewrite_one(f"/x/{FUNNEL.upper()}/") == f"/x/{MAP[FUNNEL]}/"


def test_what_the_old_name_did_not_have_is_percent_encoded() -> None:
    assert rewrite_one('"k/a.png"', {"k/a.png": 'k/"b c.jpg'}) == '"k/%22b%20c.jpg"'
    assert rewrite_one("k%252Fa%2520x.png", {"k/a x.png": "k/b x(1).jpg"}) == "k%252Fb%2520x%25281%2529.jpg"


def test_keys_that_look_encoded_are_distinguished() -> None:
    keys = {"k/a b.png": "n/1.png", "k/a%20b.png": "n/2.png", "k/a+b.png": "n/3.png", "k/50%.png": "n/50%.png"}
    assert rewrite_one("k/a b.png", {"k/a%20b.png": "n/a%20b.png"}) == "n/a b.png"
    assert rewrite_one("k/a b.png|k/a%20b.png|k/a+b.png|k/50%25.png|k/50%.png", keys) == (
        "n/1.png|n/2.png|n/3.png|n/50%25.png|n/50%.png"
    )


@pytest.mark.covers("FC-13")
@pytest.mark.parametrize("depth", [0, 3, 100_000])
@pytest.mark.parametrize("end", ["", "}", '"'])
def test_components_change_inside_their_json_only(depth: int, end: str) -> None:
    def components(key: str, id: str) -> str:
        inner = json.dumps({"html": f'<img src="{key}">', "more": json.dumps({"key": key}).replace("/", "\\/")})
        return "[" * depth + f' {{"a" :\t1e5, "id":"{id}", "b":{inner}}}' + "]" * depth + end

    result = rewritten(Page("", components(FUNNY, FUNNEL)), MAP, None)
    assert result.page.components == components(MAP[FUNNY], MAP[FUNNEL])
    assert result.leftovers == ()


@pytest.mark.covers("FC-15")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_form_ids_are_found_in_every_encoding(encoding: Encoding) -> None:
    text = encoding(f"https://crm/userform/{FORM}?a=1") + encoding(f"/userform/{STEP.upper()}/")
    found = mentions(Page(text, encoding(f"/userform/{FUNNEL}&x")), frozenset())
    assert found.forms == {FORM, STEP.upper(), FUNNEL}


@pytest.mark.covers("FC-15")
@pytest.mark.parametrize("id", ['abc"><b>', f"{FORM}0", f"{FORM}x", "a" * 23, "a" * 37, f"{FORM}-1", "", f"g{FORM}"])
def test_what_is_no_form_id_is_not_taken_for_one(id: str) -> None:
    assert mentions(Page(f"/userform/{id}", f'"/userform/{id}"'), frozenset()).forms == frozenset()


@pytest.mark.covers("FC-16", "FC-X15")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<script custom-chat-widget="true" api-key="old">', '<script custom-chat-widget="true" api-key="NEW">'),
        ("<script api-key='old' custom-chat-widget='true'>", "<script api-key='NEW' custom-chat-widget='true'>"),
        (
            "<SCRIPT\nAPI-Key = old async Custom-Chat-Widget=TRUE />",
            '<SCRIPT\nAPI-Key = "NEW" async Custom-Chat-Widget=TRUE />',
        ),
        (
            '<script a="x>y" custom-chat-widget="true"api-key=""></script>',
            '<script a="x>y" custom-chat-widget="true"api-key="NEW"></script>',
        ),
        (
            '<style><!-- .a{} </style><script custom-chat-widget="true" api-key="old"></script>',
            '<style><!-- .a{} </style><script custom-chat-widget="true" api-key="NEW"></script>',
        ),
        ("<script api-key= custom-chat-widget=true>", None),
        ('<script custom-chat-widget="false" api-key="old">', None),
        ('<script custom-chat-widget api-key="old">', None),
        ('<script custom-chat-widget="true" data-api-key="old">', None),
        ('<div custom-chat-widget="true" api-key="old">', None),
        ('<scripted custom-chat-widget="true" api-key="old">', None),
        ('<script custom-chat-widget="true"></script>', None),
        ('<!-- <script custom-chat-widget="true" api-key="old"></script> -->', None),
        ('<script>var a = \'<script custom-chat-widget="true" api-key="old">\'</script>', None),
    ],
)
def test_the_chat_key_is_set_however_the_tag_is_written(before: str, after: str | None) -> None:
    page = "<script>if (a<b) it's\"</script><!--it's--><!-->" + before + "x<!--y-->"
    result = rewritten(Page(page, ""), {}, "NEW")
    assert result.page.html == page.replace(before, after or before)
    assert result.chat_set == (after is not None)
    assert mentions(Page(page, ""), frozenset()).chat == (after is not None)


@pytest.mark.covers("FC-X15")
@pytest.mark.parametrize("token", ["$1$&", r"\1\g<0>", '"><script>alert(1)</script>', "a'b", "undefined", FUNNEL])
def test_tokens_are_literal_and_escaped(token: str) -> None:
    page = "<script custom-chat-widget='true' api-key=\"{0}\"></script>x<script custom-chat-widget=true api-key='{0}'>"
    result = rewritten(Page(page.format("old"), ""), {"old": "other"}, token)
    assert result.page.html == page.format(html.escape(token))
    assert result.chat_set == 2


def test_without_a_token_the_widget_stays_as_it_is() -> None:
    page = f'<script custom-chat-widget="true" api-key="{FUNNEL}">'
    result = rewritten(Page(page, ""), {}, None)
    assert (result.page.html, result.chat_set) == (page, 0)


@pytest.mark.covers("R-24")
@pytest.mark.parametrize(
    "hidden",
    [
        PHOTO,
        f"https://cdn/{PHOTO}",
        percents(PHOTO),
        html_hex(PHOTO),
        json_slashes(PHOTO),
        f"{FOLDER}&#47photo.png",
        "".join(f"%{ord(char):x}" for char in PHOTO),
        "".join(f"&#{ord(char)}" for char in PHOTO),
        PHOTO.replace("/", "\\\\\\/"),
        "".join(f"\\u{ord(char):04x}" for char in PHOTO),
        percents(html.escape(json_slashes(percents(html_numbers(PHOTO))))),
    ],
)
def test_the_proof_sees_what_a_rewriting_would_have_missed(hidden: str) -> None:
    ((at, reference, trace),) = LeftoverFinder(MAP).find(f'<img src="{hidden}">')
    assert (reference, trace) == (PHOTO, False)
    assert 0 < at <= len(hidden) + 12


@pytest.mark.covers("R-24")
def test_the_proof_says_where() -> None:
    filler = "x " * 400_000
    text = f"{filler}<{FUNNEL}>{filler}<{percents(PHOTO)}>"
    first, second = LeftoverFinder(MAP).find(text)
    assert first == (len(filler) + 1, FUNNEL, False)
    assert second == (text.index("photo.png") + len("photo.png"), PHOTO, False)
    assert rewritten(Page("", text), {FUNNEL: FUNNEL}, None).leftovers == ()


def test_the_proof_does_not_take_a_piece_at_its_windows_edge_for_a_whole() -> None:
    finder = LeftoverFinder(MAP)
    for edge in (WINDOW, WINDOW + finder._overlap - len(FUNNEL)):
        for piece in (f" ab{FUNNEL} ", f" {FUNNEL}ab"):
            text = "y" * (edge - piece.index(FUNNEL)) + piece + " z" * WINDOW
            assert text.index(FUNNEL) == edge
            assert [trace for _, _, trace in finder.find(text)] == [True]


def test_what_is_left_is_reported_with_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_engine.domain.funnels.page_process.replaced", lambda text, *_: text)
    assert rewritten(Page(f" {FUNNEL}", f"[{FORM}]"), MAP, None).leftovers == (
        Leftover("html", 1, FUNNEL),
        Leftover("components", 1, FORM),
    )
