"""How far a folder is read: whatever is read in whatever order, the cursor passes nothing that has no row."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.mailboxes.cursor import FolderCursor, first_cursor, joined, read_cursor

pytestmark = pytest.mark.covers("CL-14", "CL-X8")

SINCE = date(2026, 10, 1)


def test_a_new_folder_is_open_as_a_whole() -> None:
    cursor = first_cursor(7, 100, SINCE)
    assert (cursor.open, cursor.last_uid, cursor.top_uid) == (((1, 100),), 0, 100)
    assert cursor.open_by_window == (((1, 100),), ())


def test_what_comes_later_is_wanted_whatever_its_date() -> None:
    cursor = first_cursor(7, 100, SINCE).grown_to(120)
    assert cursor.open == ((1, 120),)
    assert cursor.open_by_window == (((1, 100),), ((101, 120),))


def test_new_mail_goes_before_the_rest_of_a_long_first_read() -> None:
    cursor = first_cursor(7, 100, SINCE).read_down_to(61).grown_to(103)
    assert cursor.open == ((1, 60), (101, 103))
    after = cursor.read_down_to(101)
    assert (after.open, after.last_uid) == (((1, 60),), 0)
    assert replace(after, open=()).last_uid == 103


def test_an_empty_folder_has_nothing_open() -> None:
    assert first_cursor(7, 0, SINCE).open == ()


def test_a_cursor_survives_the_document() -> None:
    cursor = first_cursor(7, 100, SINCE).read_down_to(61).grown_to(103)
    assert read_cursor(cursor.stored()) == cursor
    assert cursor.stored()["last_uid"] == 0


@pytest.mark.parametrize("stored", [None, [], "x", {"uidvalidity": "7"}, {"uidvalidity": 7}, {"last_uid": 3}])
def test_what_the_engine_did_not_write_is_no_cursor(stored: object) -> None:
    assert read_cursor(stored) is None


def test_the_cursor_of_the_contract_alone_can_be_read() -> None:
    assert read_cursor({"uidvalidity": 7, "last_uid": 30}) == FolderCursor(7, 30)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=20))
def test_ranges_joined_hold_the_same_uids(pairs: list[tuple[int, int]]) -> None:
    ranges = [(low, low + length) for low, length in pairs]
    held = {uid for low, high in ranges for uid in range(low, high + 1)}
    found = joined(ranges)
    assert {uid for low, high in found for uid in range(low, high + 1)} == held
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(found))


@given(st.lists(st.tuples(st.sampled_from(["grow", "read"]), st.integers(1, 25))))
def test_nothing_below_the_cursor_is_unread(steps: list[tuple[str, int]]) -> None:
    cursor, unread = first_cursor(1, 10, None), set(range(1, 11))
    for step, number in steps:
        if step == "grow":
            unread |= set(range(cursor.top_uid + 1, cursor.top_uid + number + 1))
            cursor = cursor.grown_to(cursor.top_uid + number)
        else:
            unread -= set(range(number, cursor.top_uid + 1))
            cursor = cursor.read_down_to(number)
        assert {uid for low, high in cursor.open for uid in range(low, high + 1)} == unread
        assert not [uid for uid in unread if uid <= cursor.last_uid]
