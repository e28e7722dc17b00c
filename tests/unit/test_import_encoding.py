# ruff: noqa: RUF001
"""The encoding of a file is found from few accents, and never by breaking what was readable."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.encoding import ENCODINGS, decoded, find_encoding, python_name

TEXTS = {
    "cp1252": (
        "Müller GmbH;Straße 5",
        "Société Générale;été",
        "Ação;São Paulo;não",
        "Peña",
        "Malmö;Smørrebrød",
        "ÄRGER;ÜBER",
        "1.234,50 €",
    ),
    "iso8859-15": ("Müller;1.234,50 €", "cœur;12 €"),
    "mac-roman": (
        "Müller GmbH;Straße 5",
        "Société Générale;été",
        "Ação;São Paulo",
        "García",
        "Díaz;España",
        "pagó",
    ),
    "cp1250": ("Příležitost;Částka;Žižkov", "Spółka;Łódź;Złoto", "Kft.;Győr;Műszaki"),
    "cp850": ("Gestión", "José Málaga", "último año"),
    "cp1251": (
        "Сделка;Сумма;Этап\nРомашка;100;Новый",
        "Продажа",
        "ООО РОМАШКА",
        "сделка",
        "КИЇВ УКРАЇНА",
        "№ 5 – Договор",
    ),
    "cp1253": ("Πελάτης;Αθήνα",),
    "koi8-r": ("Сделка;Сумма;Этап\nРомашка;100;Новый", "Продажа", "ООО РОМАШКА", "сделка"),
    "cp932": ("商談名,金額,段階\n山田商店,1000,新規", "ｶﾌﾞｼｷ会社,東京"),
    "gb18030": ("客户名称,金额,阶段\n上海科技,1000,新", "合同,北京"),
    "cp950": ("客戶名稱,金額,階段\n台北科技,1000,新", "聯絡人"),
    "cp949": ("거래명,금액,단계\n서울상사,1000,신규", "고객,담당자"),
    "utf-8": ("Müller;5 €", "商談名", "Сделка"),
    "utf-16-le": ("Name,Value\nMüller,5\n", "商談名,金額\n山田,1000\n"),
    "utf-16-be": ("Name,Value\nMüller,5\n", "商談名,金額\n山田,1000\n"),
}


@pytest.mark.parametrize(("encoding", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_a_few_words_tell_the_encoding(encoding: str, text: str) -> None:
    data = text.encode(encoding)
    found = find_encoding(data)
    assert decoded(data[found.mark :], found.name) == text
    assert 0 < found.confidence <= 1


@pytest.mark.parametrize(
    "text",
    [
        *("Joe’s bar", "don’t", "D’Angelo", "L’eau", "partners’ deal", "‘Alpha’", "“Alpha” and “Beta”", "24” screen"),
        *("North – South", "North–South", "Q1–Q2", "Wait…", "• one", "A · B", "2 × 4", "½ day", "20 °C", "§ 5"),
        *("£100", '"£1,000.00"', "Value (£)", "Value £m", "¥100", "50¢", "¢50", "…", "Widget™ Gadget®", "© 2026 Acme"),
        *('A,"1\u00a0000,50"', "Acme\u00a0Inc", "nº 5", "1ª", "¡Hola", "Bob’s “Best” – £1,000"),
    ],
)
@pytest.mark.parametrize("lines", [1, 39])
def test_text_with_signs_alone_is_that_of_windows(text: str, lines: int) -> None:
    data = f"{text}\n".encode("cp1252") * lines
    assert decoded(data, find_encoding(data).name) == f"{text}\n" * lines


def test_a_mark_is_certain() -> None:
    for encoding, mark in (("utf-8", "\ufeff"), ("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff")):
        data = f"{mark}Größe".encode(encoding)
        assert find_encoding(data)[:3] == (encoding, 3 if encoding == "utf-8" else 2, 1.0)


def test_plain_ascii_is_utf_8_and_a_few_bad_bytes_do_not_change_it() -> None:
    assert find_encoding(b"Name,Value\n").name == "utf-8"
    assert find_encoding("Größe;Öl\n".encode() * 50 + b"caf\xe9\n").name == "utf-8"
    assert find_encoding(b"Name,Value\nA\0,1\n").name == "utf-8"
    assert find_encoding(b"Name,Value\nA \xff\xfe,1\n").name == "utf-8", "text in no language"
    assert find_encoding("ä".encode() * 9 + "ä".encode()[:1]).name == "utf-8", "cut in the middle of a character"


def test_the_names_that_are_mapped_decide() -> None:
    name = "Ø"
    assert find_encoding(name.encode("cp1250", "ignore") or name.encode("cp1252"), [name]).name == "cp1252"
    for encoding in ("cp1252", "mac-roman", "cp850"):
        data = f"{name};x\n".encode(encoding)
        found = find_encoding(data, [name])
        assert decoded(data, found.name).startswith(name)


@pytest.mark.parametrize(
    ("option", "name"),
    [("Latin-1", "iso8859-1"), ("UTF8", "utf-8"), ("utf-8-sig", "utf-8"), ("shift_jis", "cp932"), ("GBK", "gb18030")],
)
def test_what_a_user_calls_an_encoding(option: str, name: str) -> None:
    assert python_name(option) == name
    assert name in ENCODINGS


def test_no_codec_that_is_no_text_encoding_is_taken() -> None:
    assert [python_name(name) for name in ("rot13", "base64", "zip", "utf-7", "idna", "x" * 10_000, "")] == [None] * 7


@given(data=st.binary(max_size=300))
def test_any_bytes_have_an_encoding(data: bytes) -> None:
    found = find_encoding(data)
    assert found.name in ENCODINGS
    assert isinstance(decoded(data[found.mark :], found.name), str)


def test_a_large_sample_takes_no_longer_than_a_small_one() -> None:
    data = ("商談名,金額,段階\n山田商店,1000,新規\n" * 3000).encode("cp932")[:65536]
    began = time.process_time()
    assert find_encoding(data).name == "cp932"
    assert time.process_time() - began < 0.2
