"""Cells become booleans, options, addresses and links, or stay text."""

from __future__ import annotations

import time

import pytest

from pipeline_engine.domain.imports.csv.values.boolean import FALSE, TRUE, option_reader, read_boolean
from pipeline_engine.domain.imports.csv.values.cell import NotAValue, Noted, Reader, is_invisible, shown, unguarded
from pipeline_engine.domain.imports.csv.values.email import read_email
from pipeline_engine.domain.imports.csv.values.number import read_number
from pipeline_engine.domain.imports.csv.values.url import read_url


def code(read: Reader, cell: str) -> str:
    with pytest.raises(NotAValue) as refused:
        read(cell)
    return refused.value.code


def test_yes_and_no_in_the_usual_words() -> None:
    assert [read_boolean(word) for word in ("TRUE", "Yes", "1", "x", "Ja", "Oui", "Sí", "SIM", "Ano", "はい", "✓")] == [
        True
    ] * 11
    assert [read_boolean(word) for word in ("false", "No", "0", "Nein", "NON", "Não", "Ne", "いいえ", "✗")] == [
        False
    ] * 9
    assert not TRUE & FALSE
    assert {code(read_boolean, word) for word in ("maybe", "2", "n/a", "-", "x" * 999)} == {"not_a_boolean"}


def test_an_option_is_found_whatever_its_case_and_blanks() -> None:
    read = option_reader(["Gold", "Silver Plus", "gold"])
    assert [read(cell) for cell in ("Gold", "gold", "GOLD", " silver\u00a0 plus ", '="Gold"', "Gold\u200b")] == [
        *("Gold", "gold", "Gold", "Silver Plus", "Gold", "Gold")
    ]
    assert code(read, "Bronze") == "not_an_option"
    with pytest.raises(NotAValue, match="Gold, Silver Plus, gold"):
        read("Bronze")


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ADA@Slate.Example", "ada@slate.example"),
        ("\u200bada@example.com\u202c", "ada@example.com"),
        ("mailto:ada@example.com", "ada@example.com"),
        ("Ada Lovelace <ada@example.com>", "ada@example.com"),
        ('"Lovelace, Ada" <ada@example.com>', "ada@example.com"),
        ("ada+crm@sub.example.co.uk;", "ada+crm@sub.example.co.uk"),
        ("ada@müller.example", "ada@müller.example"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("'john@example.com", "john@example.com"),
        ("=john@example.com", "john@example.com"),
        ("ｊｏｈｎ@example.com", "john@example.com"),
        ("MAILTO:john@example.com?subject=x", "john@example.com"),
        ("John <mailto:john@example.com?cc=a@b.co>", "john@example.com"),
    ],
)
def test_an_address_is_read_in_every_spelling(cell: str, address: str) -> None:
    assert read_email(cell) == address


@pytest.mark.parametrize("between", [";", ", ", " ", " / ", "\n", "|", " ; "])
def test_of_several_addresses_the_first_is_taken_and_the_rest_noted(between: str) -> None:
    assert read_email(f"A@example.com{between}b@example.com") == Noted("a@example.com", "more_addresses")
    assert read_email("Ada <a@example.com>, Bob <b@example.com>") == Noted("a@example.com", "more_addresses")


@pytest.mark.parametrize(
    "cell",
    [
        "n/a",
        "-",
        "ada",
        "ada@localhost",
        "ada@@example.com",
        "@example.com",
        "ada@example..com",
        "a b@example.com",
        "ada@-x.example",
        "ada.@example.com",
        f"{'a' * 300}@example.com",
        f"ada@{'x' * 64}.example.com",
        "ada at example.com",
        "=cmd|'/c calc'!A1",
    ],
)
def test_what_is_no_address_is_refused(cell: str) -> None:
    assert code(read_email, cell) == "not_an_email"


def test_web_addresses() -> None:
    assert read_url("https://example.com/a?b=c#d") == "https://example.com/a?b=c#d"
    assert read_url("www.example.co.uk") == "https://www.example.co.uk"
    for cell in ("javascript:alert(1)", "ftp://example.com", "example", "a b.com", "https://", "x." * 2000 + "com"):
        assert code(read_url, cell) == "not_a_url"


def test_guards_and_invisible_text() -> None:
    assert [unguarded(cell) for cell in ('="00417"', '=" 1 "', "=1+1", '="a"&"b"', "x")] == [
        "00417",
        "1",
        "=1+1",
        '="a"&"b"',
        "x",
    ]
    assert all(is_invisible(cell) for cell in ("", "\u200b", " \u00a0\ufeff", "\u3164", "\u2800\u200d"))
    assert not any(is_invisible(cell) for cell in ("-", ".", "\u200ba", "名"))
    assert (shown("x" * 80), shown("x" * 81)) == ("x" * 80, "x" * 79 + "…")


@pytest.mark.covers("R-21")
def test_hostile_cells_take_no_time() -> None:
    cells = [
        "(" * 60_000,
        "1," * 30_000,
        "a" * 60_000,
        "a." * 30_000 + "@",
        "@" * 60_000,
        " " * 60_000 + "x",
        "<" * 60_000,
        "a@" + "b." * 30_000,
    ]
    cells += [cell[:size] for cell in cells for size in (64, 128, 254, 2048, 4096)]
    began = time.process_time()
    for cell in cells:
        for read in (read_email, read_url, read_boolean, lambda one: read_number(one, ".")):
            with pytest.raises(NotAValue):
                read(cell)
    assert time.process_time() - began < 1
