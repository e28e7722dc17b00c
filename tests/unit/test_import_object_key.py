"""Only keys that mean what they say, under the account's own prefix."""

from __future__ import annotations

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import check_key

ACCOUNT = ObjectId("507f1f77bcf86cd799439011")
OTHER = ObjectId("507f1f77bcf86cd799439012")
PREFIX = "imports/{account_id}/"


def _refused(key: str, prefix: str | None = None) -> str:
    with pytest.raises(ImportRefused) as refusal:
        check_key(key, ACCOUNT, prefix)
    assert refusal.value.code == "bad_key"
    return str(refusal.value)


@pytest.mark.parametrize(
    "key", ["imports/deals/test-import.csv", "Übersicht (1) + 100 %.csv", "a", "a.b/c%20d.csv", "é" * 512]
)
def test_ordinary_keys_stay_as_they_are(key: str) -> None:
    assert check_key(key, ACCOUNT, None) == key
    assert check_key(key, ACCOUNT, "") == key


@pytest.mark.covers("R-19")
@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "empty"),
        ("../../other/x.csv", "'..'"),
        ("imports/../other.csv", "'..'"),
        ("a/..", "'..'"),
        ("imports/%2e%2E/x.csv", "'..'"),
        ("imports/.%2e/x.csv", "'..'"),
        ("/etc/passwd", "begins with '/'"),
        ("//x.csv", "begins with '/'"),
        ("imports//x.csv", "empty part"),
        ("imports/", "folder"),
        ("a\r\nX-Header: 1.csv", "control"),
        ("a\0.csv", "control"),
        ("a\x7f", "control"),
        ("a\x85b", "control"),
        ("a\u2028b", "control"),
        ("gpj.\u202efdp.csv", "control"),
        ("a\ud800b", "control"),
        ("x" * 1025, "1024 bytes"),
        ("é" * 513, "1024 bytes"),
    ],
)
def test_keys_that_try_something_are_refused(key: str, why: str) -> None:
    assert why in _refused(key)


@pytest.mark.covers("R-19")
def test_with_a_prefix_only_the_keys_of_the_account_are_read() -> None:
    own = f"imports/{ACCOUNT}/x.csv"
    assert check_key(own, ACCOUNT, PREFIX) == own
    for key in (f"imports/{OTHER}/x.csv", "imports/x.csv", f"imports/{ACCOUNT}", f"a/imports/{ACCOUNT}/x.csv"):
        assert f"imports/{ACCOUNT}/" in _refused(key, PREFIX)
    _refused(f"imports/{ACCOUNT}/../{OTHER}/x.csv", PREFIX)
    _refused("imports/{account_id}/x.csv", PREFIX)


@given(key=st.text(max_size=30) | st.text(alphabet="./%2eE\\\n", max_size=12))
def test_what_is_accepted_is_short_printable_and_goes_nowhere_else(key: str) -> None:
    try:
        assert check_key(key, ACCOUNT, None) == key
    except ImportRefused:
        return
    assert ".." not in key.lower().replace("%2e", ".")
    assert not key.startswith("/")
    assert key.isprintable() or not any(ord(character) < 32 for character in key)
