from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine import ids

HEX = "5f43a1b2c3d4e5f6a7b8c9d0"


def test_every_process_start_has_a_name_of_its_own() -> None:
    names = {ids.daemon_id() for _ in range(100)}
    assert len(names) == 100
    assert all(f":{os.getpid()}:" in name for name in names)


def test_a_fingerprint_is_the_same_everywhere_and_for_ever() -> None:
    program = "from pipeline_engine import ids; print(ids.fingerprint('a', 1, None).hex())"
    elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert elsewhere.stdout.strip() == ids.fingerprint("a", 1, None).hex() == "b7cae990e498f2191baaca6a"


@given(st.lists(st.text()), st.lists(st.text()))
def test_other_parts_give_another_fingerprint(one: list[str], other: list[str]) -> None:
    assert (ids.fingerprint(*one) == ids.fingerprint(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a\x1fb",), ("a", "b")), (("ab",), ("a", "b")), (("a", ""), ("a",)), (("1:a",), ("a",)), ((), ("",))],
)
def test_no_spelling_makes_one_part_look_like_two(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert ids.fingerprint(*one) != ids.fingerprint(*other)


def test_a_text_that_utf8_cannot_hold_has_a_fingerprint_too() -> None:
    assert ids.fingerprint("\ud800") != ids.fingerprint("\udc00")


def test_a_fingerprint_has_the_size_asked_for() -> None:
    assert len(ids.fingerprint("a")) == 12
    assert len(ids.fingerprint("a", size=4)) == 4


def test_a_derived_id_is_made_again_by_a_repeat() -> None:
    assert ids.derived_id("note", HEX, 3) == ids.derived_id("note", HEX, 3)
    assert ids.derived_id("note", HEX, 3) != ids.derived_id("note", HEX, 4)


@pytest.mark.parametrize("value", [ObjectId(HEX), HEX])
def test_ids_and_their_spelling_are_ids(value: Any) -> None:
    assert ids.object_id(value) == ObjectId(HEX)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        5,
        HEX.upper(),
        HEX[:-1],
        HEX + "0",
        f" {HEX}",
        "twelve bytes",
        b"twelve bytes",
        HEX.encode(),
        [HEX],
        "z" * 24,
    ],
)
def test_nothing_else_is_an_id(value: Any) -> None:
    assert ids.object_id(value) is None


def test_a_reference_is_found_in_both_spellings() -> None:
    assert ids.either(ObjectId(HEX)) == {"$in": [ObjectId(HEX), HEX]}


def test_an_ids_first_bytes_say_when_it_was_made() -> None:
    moment = datetime(2026, 11, 22, 10, 0, 0, 999_999, tzinfo=UTC)
    made = ObjectId(ids.seconds_of(moment) + bytes(8))
    assert made.generation_time == moment.replace(microsecond=0)
