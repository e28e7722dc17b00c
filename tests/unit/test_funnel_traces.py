"""References that are written otherwise than recorded: rewritten where that is safe, else named as traces."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Callable
from unicodedata import normalize

import pytest

from pipeline_engine.domain.funnels.decoded_text import fully_decoded
from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.page_process import mentions, rewritten
from tests.support.pages import (
    ENCODINGS,
    FOLDER,
    FORM,
    FUNNEL,
    FUNNY,
    MAP,
    NEW_FOLDER,
    PHOTO,
    UNICODE,
    Encoding,
    html_hex,
    json_slashes,
    json_text,
    percents,
    rewrite_one,
    url,
)

KEYS = (PHOTO, FUNNY, UNICODE)


def css_codes(text: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else f"\\{ord(char):x} " for char in text)


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def folder_in_capitals(key: str) -> str:
    return FOLDER.upper() + key.removeprefix(FOLDER)


SAME_OBJECT: list[Callable[[str], str]] = [
    folder_in_capitals,
    lambda key: key.replace("/", "//"),
    lambda key: key.replace("/", "/./"),
    lambda key: key.replace("/", "//.//"),
    lambda key: normalize("NFD", key),
]
VARIANTS: list[Callable[[str], str]] = [
    lambda key: key.replace(".png", "-300x200.png"),
    lambda key: key.replace(".png", "@2x.png"),
    lambda key: key + ".webp",
    lambda key: key.replace("/", "/thumb/"),
    lambda key: FOLDER,
    lambda key: key.replace("7c9e", "7C9e"),
    lambda key: key.replace("-", ""),
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("other", SAME_OBJECT)
def test_other_ways_to_write_a_key_are_rewritten(other: Callable[[str], str], encoding: Encoding) -> None:
    for key in KEYS:
        text = f'<img src="{encoding("https://cdn/" + other(key))}">'
        result = rewritten(Page(text, ""), MAP, None)
        assert result.leftovers == (), text
        assert NEW_FOLDER in fully_decoded(result.page.html)
        assert mentions(Page(text, ""), frozenset(MAP)).references == {key}


@pytest.mark.parametrize("encoding", [str, url, percents, html.escape, html_hex, json_text, json_slashes])
def test_codes_of_css_are_rewritten(encoding: Encoding) -> None:
    for key in KEYS:
        result = rewritten(Page(encoding(f"a{{background:url(https://cdn/{css_codes(key)})}}"), ""), MAP, None)
        assert result.leftovers == ()
        assert f"https://cdn/{MAP[key]})" in fully_decoded(result.page.html)


@pytest.mark.parametrize("escape", ["\\36 {}", "\\000036{}", "\\\\36 {}"])
def test_an_id_that_begins_with_a_digit_stays_a_name_in_css(escape: str) -> None:
    old, new = "66c05000000000000000501b", "76c0f0007ba9a798672a2191"
    page = f'a[href="/{old}"] #{escape.format(old[1:])}{{}} .e{old}'
    result = rewritten(Page(page, ""), {old: new}, None)
    first = escape.replace("36", "37")
    assert result.page.html == f'a[href="/{new}"] #{first.format(new[1:])}{{}} .e{old}'
    lettered = rewritten(Page(f"#{escape.format(old[1:])}", ""), {old: f"f{new[1:]}"}, None)
    assert lettered.page.html == f"#f{new[1:]}"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_only_resembles_a_key_is_named(variant: Callable[[str], str], encoding: Encoding) -> None:
    for key in KEYS:
        text = f'<img src="{encoding("https://cdn/" + variant(key))}">'
        result = rewritten(Page(text, ""), {key: MAP[key]}, None)
        (left,) = result.leftovers
        assert (result.page.html, left.reference, left.trace, left.part) == (text, key, True, "html"), text
        assert 10 < left.at < len(text)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8/a.png", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8/a.png", "6BA7B811-9DAD-11D1-80B4-00C04FD430C8/a.png"),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8/a.png", "6ba7b8119dad11d180b400c04fd430c8"),
        ("11111111-1111-4111-8111-000000000001/a.png", "66c000000000000000000001"),
        ("11111111-1111-4111-8111-000000000001/a.png", "55000000000001"),
    ],
)
@pytest.mark.parametrize("encoding", [str, percents, html.escape, json_text, lambda text: text.replace("-", "%2D")])
def test_another_id_that_ends_alike_is_no_trace(encoding: Encoding, key: str, other: str) -> None:
    page = encoding(f'<i id="{other}">')
    assert rewrite_one(page, {key: f"{NEW_FOLDER}/a.png"}) == page


def test_of_ids_that_end_alike_the_right_one_is_named() -> None:
    keys = [f"6ba7b8{n}-9dad-11d1-80b4-00c04fd430c8/a.png" for n in range(10, 20)]
    for key in keys:
        result = rewritten(Page(f'"{key[:36]}"', ""), dict.fromkeys(keys, f"{NEW_FOLDER}/a.png"), None)
        assert [(one.reference, one.trace) for one in result.leftovers] == [(key, True)]
    alone = rewritten(Page('"00c04fd430c8" "9dad-11d1-80b4-00c04fd430c8"', ""), dict.fromkeys(keys, ""), None)
    assert [one.at for one in alone.leftovers] == [1, 31]


@pytest.mark.parametrize("outer", [base64, lambda text: base64(base64(text))])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("reference", MAP)
def test_base64_is_looked_into(reference: str, encoding: Encoding, outer: Encoding) -> None:
    for shift in range(4):
        text = f'<i data-x="{outer("x" * shift + encoding(f" {reference} "))}">'
        result = rewritten(Page("", text), {reference: MAP[reference]}, None)
        assert result.page.components == text
        assert {(one.reference, one.trace) for one in result.leftovers} == {(reference, True)}, text


@pytest.mark.parametrize(
    "place", ['value="{}"', 'data-form-id="{}"', "/forms/{}/", "/userform?id={}", '{{"form": "{}"}}', "?f=%22{}%22"]
)
@pytest.mark.parametrize("id", [FORM, FORM.upper(), FUNNEL])
def test_whatever_may_be_a_form_is_reported(place: str, id: str) -> None:
    for page in (Page(place.format(id), ""), Page("", place.format(id))):
        seen = mentions(page, frozenset([PHOTO]))
        assert (set(seen.ids), set(seen.forms), set(seen.hidden)) == ({id}, set(), set())
    assert mentions(Page(base64(place.format(id)), ""), frozenset()).hidden == {id}
    assert mentions(Page(place.format(id), ""), frozenset([id])).ids == frozenset()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<img src="https://cdn/crm/{}?w=1&amp;h=2#x" alt="a">', '<img src="" alt="a">'),
        ("<img src=//cdn/{}>", "<img src=>"),
        ('<i style="background:url(https://cdn/{})">', '<i style="background:url()">'),
        ('<i data-x="{{&quot;a&quot;:&quot;https://cdn/{}?x&quot;}}">', '<i data-x="{{&quot;a&quot;:&quot;&quot;}}">'),
        ('{{"a":"https:\\/\\/cdn\\/{}","b":1}}', '{{"a":"","b":1}}'),
        ('{{"a":"{}"}}', '{{"a":""}}'),
        ("a:{};b", "a:;b"),
    ],
)
def test_an_emptied_image_leaves_no_address_of_the_bucket(before: str, after: str) -> None:
    key = PHOTO.replace("/", "\\/") if "\\/" in before else PHOTO
    assert rewritten(Page(before.format(key), ""), {PHOTO: ""}, None).page.html == after.format()
