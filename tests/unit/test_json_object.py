"""JSON from outside: what can be read in two ways is refused, and nothing of it is quoted."""

from __future__ import annotations

import pytest

from pipeline_engine.json_object import json_object

REFUSED: dict[str, tuple[bytes | str, str]] = {
    "empty": (b"", "Expecting value"),
    "cut off": (b'{"a": ', "Expecting value"),
    "more behind it": (b"{} {}", "Extra data"),
    "a list": (b"[]", "no JSON object"),
    "null": (b"null", "no JSON object"),
    "a text": ('"secret"', "no JSON object"),
    "a name twice": (b'{"a": [{"secret": 1, "secret": 2}]}', "occurs twice"),
    "not a number": (b'{"a": NaN}', "NaN"),
    "infinity": (b'{"a": [-Infinity]}', "-Infinity"),
    "beyond a double": (b'{"a": 1e999}', "too large"),
    "a million digits": (b'{"a": ' + b"9" * 1_000_000 + b"}", "too large"),
    "half a surrogate pair": (rb'{"a": "\ud800"}', "surrogate"),
    "half a pair in a name": (rb'{"\udc00": 1}', "surrogate"),
    "no UTF-8": (b'{"a": "\xff"}', "UTF-8"),
    "nested for ever": (b'{"a":' * 100_000, "nested"),
    "lists for ever": (b'{"a":' + b"[" * 100_000, "nested"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_named_and_not_quoted(content: bytes | str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        json_object(content)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 100


def test_everything_else_is_read_as_it_stands() -> None:
    content = rb'{"a": [9223372036854775808, -1.5, true, null], "b.$c": "\ud83d\ude00 \u0000"}'
    assert json_object(content) == {"a": [2**63, -1.5, True, None], "b.$c": "😀 \0"}
    assert json_object("{}") == {}
