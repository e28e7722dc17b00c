"""References in pages: found in every encoding, replaced once and in the same encoding, proven gone."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.funnels.decoded_text import decoded_texts, fully_decoded
from pipeline_engine.domain.funnels.leftovers import WINDOW, LeftoverFinder
from pipeline_engine.domain.funnels.page import Leftover, Page
from pipeline_engine.domain.funnels.page_process import mentions, rewritten

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
PAGES = Path(__file__).parent.parent / "pages"

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


def percents_in_html(text: str) -> str:
    return html.escape(url(text))


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


def one(text: str, replacements: Mapping[str, str] = MAP, chat_key: str | None = None) -> str:
    result = rewritten(Page(text, ""), dict(replacements), chat_key)
    assert result.leftovers == ()
    return result.page.html


@pytest.mark.covers("FC-13", "FC-X11")
@pytest.mark.parametrize("outer", ENCODINGS)
@pytest.mark.parametrize("inner", ENCODINGS)
@pytest.mark.parametrize("reference", MAP)
def test_every_form_is_replaced_in_its_own_encoding(reference: str, inner: Encoding, outer: Encoding) -> None:
    def planted(reference: str) -> str:
        return f'<img src="{outer(inner(f"https://cdn/{reference}"))}">'

    page = planted(reference)
    assert mentions(Page(page, ""), frozenset(MAP)).references == {reference}
    assert one(page) == planted(MAP[reference])


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
    assert one(form.format(*[reference] * places)) == form.format(*[MAP[reference]] * places)


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
        PHOTO.replace("/", "//"),
        PHOTO.replace("png", "PNG"),
    ],
)
def test_longer_ids_and_keys_are_not_touched(text: str) -> None:
    assert one(f'<a href="{text}">') == f'<a href="{text}">'
    assert not mentions(Page(text, text), frozenset(MAP)).references


@pytest.mark.covers("FC-X11")
def test_the_longest_match_wins_and_nothing_is_replaced_twice() -> None:
    chain = {"a/b.png": "b/c.png", "b/c.png": "c/d.png", "a/b": "wrong", "a/b.png.webp": "webp"}
    assert one("a/b.png b/c.png a/b.png.webp a/b a/b", chain) == "b/c.png c/d.png webp wrong wrong"
    assert one("a.png", {"a.png": "v/a.png"}) == "v/a.png"


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
    assert one(text, keys) == after
    assert mentions(Page(text, ""), frozenset(keys)).references == {key for key in keys if keys[key] in after}


def test_an_emptied_reference_leaves_nothing() -> None:
    assert one(f'<img src="{FUNNY}">{FORM}', {FUNNY: "", FORM: ""}) == '<img src="">'


def test_an_id_may_be_written_in_capitals() -> None:
    assert one(f"/x/{FUNNEL.upper()}/") == f"/x/{MAP[FUNNEL]}/"


def test_what_the_old_name_did_not_have_is_percent_encoded() -> None:
    assert one('"k/a.png"', {"k/a.png": 'k/"b c.jpg'}) == '"k/%22b%20c.jpg"'
    assert one("k%252Fa%2520x.png", {"k/a x.png": "k/b x(1).jpg"}) == "k%252Fb%2520x%25281%2529.jpg"


def test_keys_that_look_encoded_are_told_apart() -> None:
    keys = {"k/a b.png": "n/1.png", "k/a%20b.png": "n/2.png", "k/a+b.png": "n/3.png", "k/50%.png": "n/50%.png"}
    assert one("k/a b.png", {"k/a%20b.png": "n/a%20b.png"}) == "n/a b.png"
    assert one("k/a b.png|k/a%20b.png|k/a+b.png|k/50%25.png|k/50%.png", keys) == (
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
    ((at, reference),) = LeftoverFinder(MAP).find(f'<img src="{hidden}">')
    assert reference == PHOTO
    assert 0 < at <= len(hidden) + 12


@pytest.mark.covers("R-24")
def test_the_proof_says_where() -> None:
    filler = "x " * 400_000
    text = f"{filler}<{FUNNEL}>{filler}<{percents(PHOTO)}>"
    first, second = LeftoverFinder(MAP).find(text)
    assert first == (len(filler) + 1, FUNNEL)
    assert second == (text.index("photo.png") + len("photo.png"), PHOTO)
    assert rewritten(Page("", text), {FUNNEL: FUNNEL}, None).leftovers == ()


def test_the_proof_does_not_take_a_piece_at_its_windows_edge_for_a_whole() -> None:
    finder = LeftoverFinder(MAP)
    for edge in (WINDOW, WINDOW + finder._overlap - len(FUNNEL)):
        for piece in (f"ab{FUNNEL} ", f" {FUNNEL}ab"):
            text = "y" * (edge - piece.index(FUNNEL)) + piece + " z" * WINDOW
            assert text.index(FUNNEL) == edge
            assert list(finder.find(text)) == []


def test_what_is_left_is_told_with_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_engine.domain.funnels.page_process.replaced", lambda text, *_: text)
    assert rewritten(Page(f" {FUNNEL}", f"[{FORM}]"), MAP, None).leftovers == (
        Leftover("html", 1, FUNNEL),
        Leftover("components", 1, FORM),
    )


@pytest.mark.covers("FC-X11")
@pytest.mark.parametrize("name", ["creative", "resume", "not_found"])
def test_real_pages_come_out_whole(name: str) -> None:
    page = (PAGES / f"{name}.html").read_text()
    assert one(page) == page
    lines, encodings = page.splitlines(keepends=True), [*ENCODINGS, percents_in_html]
    forms = [(encoding, reference) for encoding in encodings for reference in MAP]

    def planted(choose: Callable[[str], str]) -> str:
        kept = [f'{line}<i data-x="{e(choose(r))}">' for line, (e, r) in zip(lines * 9, forms, strict=False)]
        return "".join([*kept, *lines])

    source = planted(lambda reference: reference)
    assert mentions(Page(source, ""), frozenset(MAP)).references == set(MAP)
    assert one(source) == planted(lambda reference: MAP[reference])
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

    assert one(planted(reference)) == planted(MAP[reference])


NAMES = st.text("ab/", min_size=1, max_size=6).map(lambda name: f"k{name}z")


@given(st.dictionaries(NAMES, NAMES, max_size=5), st.lists(NAMES, max_size=8))
def test_never_chained(replacements: dict[str, str], words: list[str]) -> None:
    result = rewritten(Page(" ".join(words), ""), replacements, None)
    assert result.page.html.split(" ") == " ".join(replacements.get(word, word) for word in words).split(" ")


@given(TEXTS)
def test_every_reading_knows_where_its_characters_stand(text: str) -> None:
    for reading in decoded_texts(text):
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
    assert seconds(160_000) < 8 * 4 * small + 0.1
