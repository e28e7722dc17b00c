"""A file of any encoding becomes UTF-8, and every stretch of that knows how many bytes of the file it was."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.recoder import Recoder, recoded

ENCODINGS = ["utf-16-le", "utf-16-be", "cp1252", "iso8859-1", "mac_roman", "cp1250", "cp1251", "koi8-r", "shift_jis"]
ENCODINGS += ["gb18030", "big5", "euc_kr", "utf-8"]


def _blocks(data: bytes, seed: int) -> list[bytes]:
    sizes, at, blocks = random.Random(seed), 0, []  # noqa: S311 - only where to break
    while at < len(data):
        size = sizes.choice([1, 2, 3, 50])
        blocks.append(data[at : at + size])
        at += size
    return blocks


@given(data=st.binary(max_size=60), encoding=st.sampled_from(ENCODINGS), seed=st.integers(0, 9))
def test_any_bytes_keep_their_length_however_they_are_broken(data: bytes, encoding: str, seed: int) -> None:
    recoder = Recoder(encoding)
    parts = [recoder.feed(block) for block in _blocks(data, seed)]
    rest = recoder.close()
    assert b"".join(parts) + rest == recoded(data, encoding)
    whole = sum(recoder.raw_length(part) for part in parts)
    assert whole <= len(data) <= whole + 3
    assert (whole == len(data)) == (not rest)


@given(
    text=st.text(alphabet="ab,\n é€žяй日한", max_size=40), encoding=st.sampled_from(ENCODINGS), seed=st.integers(0, 9)
)
def test_text_comes_back(text: str, encoding: str, seed: int) -> None:
    text = text.encode(encoding, errors="ignore").decode(encoding)
    recoder = Recoder(encoding)
    parts = [recoder.feed(block) for block in _blocks(text.encode(encoding), seed)]
    assert b"".join(parts).decode() == text
    assert recoder.close() == b""


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [(b"a\x81b", "cp1252"), (b"a\0\0\xd8b\0", "utf-16-le"), (b"a\x82", "shift_jis"), (b"a\xffb", "gb18030")],
)
def test_what_is_no_text_is_found_and_ends_nothing(raw: bytes, encoding: str) -> None:
    text = recoded(raw, encoding)
    assert text.startswith(b"a")
    with pytest.raises(UnicodeDecodeError):
        text.decode()


def test_utf_8_passes_untouched() -> None:
    block = b"caf\xc3\xa9 \xff"
    assert Recoder("utf-8").feed(block) is block
