from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_address import MAX_CHARS, SHAPE, read_email_address
from pipeline_engine.providers.phone_number import read_phone_number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("john@acme.com", "john@acme.com"),
        ("  John.O'Neil+crm@Mail.Acme.co.uk \n", "John.O'Neil+crm@Mail.Acme.co.uk"),
        ("jürgen@b.de", None),
        ("info@bücher.de", "info@xn--bcher-kva.de"),
        ("info@Bücher。DE", "info@xn--bcher-kva.de"),
        ("user@faß.de", "user@xn--fa-hia.de"),
        ("user@-ü.de", None),
        ("admin@\u0430pple.com", "admin@xn--pple-43d.com"),  # a Cyrillic a
    ],
)
def test_an_address_is_read(text: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(Permanent, match="not a valid address"):
            read_email_address(text)
    else:
        assert read_email_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        None,
        42,
        ["a@b.co"],
        "",
        "john",
        "john@acme",
        "@acme.com",
        "john@",
        "a@b.co,c@d.co",
        "a@b.co;c@d.co",
        "a@b.co c@d.co",
        "John <a@b.co>",
        "a@b.co\r\nBcc: c@d.co",
        "a\r\n@b.co",
        "a@b.co\x00",
        "a..b@c.co",
        ".a@c.co",
        '"a b"@c.co',
        "a@[127.0.0.1]",
        "a@-b.co",
        "a@b..co",
        "a@b@c.co",
        "a@" + "b" * 64 + ".co",
        "a" * 250 + "@b.co",
        ",".join(["a@b.co"] * 10_000),
    ],
)
def test_anything_but_one_address_is_refused_without_being_repeated(text: object) -> None:
    with pytest.raises(Permanent) as refused:
        read_email_address(text)
    assert str(refused.value) == "the contact's e-mail address is not a valid address"


@given(st.text(max_size=300))
def test_what_comes_out_is_always_one_plain_address(text: str) -> None:
    try:
        address = read_email_address(text)
    except Permanent:
        return
    assert SHAPE.fullmatch(address)
    assert len(address) <= MAX_CHARS


@pytest.mark.parametrize(
    "text", ["a." * 100_000 + "@", "a@" + "b." * 100_000, "é" * 200_000 + "@é.é", "a@" + "é" * 250]
)
def test_long_nonsense_takes_no_time(text: str) -> None:
    started = time.process_time()
    with pytest.raises(Permanent):
        read_email_address(text)
    assert time.process_time() - started < 0.4


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+15551234567", "+15551234567"),
        ("+49 (0) 30 / 123-45.67", "+490301234567"),
        ("0049 30 1234567", "+49301234567"),
        ("(415) 555-2671", "4155552671"),
    ],
)
def test_a_number_loses_its_dress(text: str, number: str) -> None:
    assert read_phone_number(text) == number


@pytest.mark.parametrize(
    "text", [None, 15551234567, "", "call me", "+", "+1234", "+1" * 20, "+1555123x567", "++1555123456", "١٢٣٤٥٦٧"]
)
def test_anything_but_a_number_is_refused(text: object) -> None:
    with pytest.raises(Permanent, match=r"^the contact's telephone number is not a valid number$"):
        read_phone_number(text)
