"""What stands beside a reference and does not belong to it: the reference is rewritten, the neighbour stays."""

from __future__ import annotations

import pytest

from pipeline_engine.domain.funnels.page import Page
from pipeline_engine.domain.funnels.page_process import mentions
from tests.support.pages import FOLDER, FORM, FUNNEL, MAP, NEW_FOLDER, PHOTO, STEP, rewrite_one

OWN = [PHOTO, FUNNEL, STEP, FORM]


@pytest.mark.covers("FC-X11")
@pytest.mark.parametrize(
    "form",
    [
        "https://cdn/{}%A0",
        "?u={}%94&amp;x",
        "{}%E2%80",
        "{}%25A0",
        "%AB{}%BB",
        "%25AB{}%25BB",
        "Caf%E9{}",
        "%C0%AF{}",
        '"see {}\\ud83d"',
        '"\\udc00{}"',
        "&#xD83D;{}&#xDE00;",
    ],
)
@pytest.mark.parametrize("reference", OWN)
def test_what_is_no_character_belongs_to_no_reference(form: str, reference: str) -> None:
    assert rewrite_one(form.format(reference)) == form.format(MAP[reference])
    assert mentions(Page(form.format(reference), ""), frozenset(MAP)).references == {reference}


@pytest.mark.parametrize("form", ["?q=%25{}%25", "?q=%2525{}%2525", "%{}%"])
@pytest.mark.parametrize("reference", OWN)
def test_a_percent_sign_is_not_an_escape_of_the_first_digits(form: str, reference: str) -> None:
    assert rewrite_one(form.format(reference)) == form.format(MAP[reference])
    key, new = f"ed{FOLDER[2:]}/a b.png", f"{NEW_FOLDER}/a b.png"
    assert rewrite_one(f"%25{key.replace(' ', '%20')}", {key: new}) == f"%25{new.replace(' ', '%20')}"


@pytest.mark.parametrize("form", ["{}&nbsp ", "&nbsp {}&quot", "%u0022{}%u0022", "%u00ab{}%u00bb", "%5Cu0022{}%22"])
@pytest.mark.parametrize("reference", OWN)
def test_old_escapes_are_read(form: str, reference: str) -> None:
    assert rewrite_one(form.format(reference)) == form.format(MAP[reference])


@pytest.mark.parametrize("after", ["%u00e9", "%252e1", "%25252e1", "\\u00e9"])
def test_an_escape_after_a_key_may_make_it_longer(after: str) -> None:
    assert rewrite_one(PHOTO + after, traces=1) == PHOTO + after


def test_an_entity_needs_no_semicolon() -> None:
    assert rewrite_one(f"{FOLDER}&#47photo.png") == f"{NEW_FOLDER}&#47photo.png"
    assert rewrite_one(f"{FOLDER}&#x2Fphoto.png") == f"{NEW_FOLDER}&#x2Fphoto.png"
    assert rewrite_one(f"{FOLDER}&#47photo.png", {PHOTO: f"{NEW_FOLDER}/1.png"}) == f"{NEW_FOLDER}&#47;1.png"
    key, new = f"{FOLDER}/a&b (1).png", f"{NEW_FOLDER}/a&b (1).png"
    assert rewrite_one(f"{FOLDER}/a&amp;b%20(1).png", {key: new}) == f"{NEW_FOLDER}/a&amp;b%20(1).png"
    cut = f"{FOLDER}/a&ampb (1).png"  # as a browser reads an attribute, this is another file
    assert rewrite_one(cut, {key: new}, traces=1) == cut


@pytest.mark.parametrize("name", ["a&section 1.png", "a&reg=1.png", "R&Design.png", "caf%E9.png"])
def test_names_that_resemble_escapes_are_found_in_other_encodings(name: str) -> None:
    key, new = f"{FOLDER}/{name}", f"{NEW_FOLDER}/{name}"
    for text in (key, key.replace("&", "&amp;"), key.replace(" ", "%20"), key.replace("/", "%2F")):
        after = text.replace(FOLDER, NEW_FOLDER)
        assert rewrite_one(text, {key: new}) == after
    assert rewrite_one(f"{FOLDER}/caf%E8.png", {f"{FOLDER}/caf%E9.png": new}, traces=1) == f"{FOLDER}/caf%E8.png"


@pytest.mark.parametrize("word", ["page", "id", "node-", "step", "Web"])
@pytest.mark.parametrize("id", [FUNNEL, STEP, FORM])
def test_an_id_may_follow_a_word(word: str, id: str) -> None:
    assert rewrite_one(f'<i class="{word}{id}">') == f'<i class="{word}{MAP[id]}">'


@pytest.mark.parametrize("word", ["c", "feed", "#fade", "9e", "id1a"])
def test_letters_that_may_be_digits_make_an_id_longer(word: str) -> None:
    assert rewrite_one(f'<i class="{word}{FUNNEL}">', traces=1) == f'<i class="{word}{FUNNEL}">'
