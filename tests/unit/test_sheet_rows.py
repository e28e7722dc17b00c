"""Which rows of a sheet were seen before, whatever happened to it between two looks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.jobs.sheet_sync import _next_rows
from pipeline_engine.domain.sheets.alignment import KnownRow, PlacedRow, align
from pipeline_engine.domain.sheets.mapping import read_mapping
from pipeline_engine.domain.sheets.rows import headers, read_rows
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.sheet_syncs import pack, unpack

HEADER = ["Timestamp", "Name", "Email", "Country", "Message"]


def row(number: int, **changes: str) -> list[str]:
    cells = {
        "Timestamp": f"2026-05-01 10:{number:02}",
        "Name": f"Name {number}",
        "Email": f"p{number}@example.com",
        "Country": "DE",
        "Message": "Hello",
    }
    return [*{**cells, **changes}.values()]


def look(known: list[KnownRow], *rows: list[str], header: list[str] = HEADER) -> list[PlacedRow]:
    return align(known, read_rows([header, *rows]))


def seen(placed: list[PlacedRow]) -> list[KnownRow]:
    return [KnownRow(one.key, one.row.prints) for one in placed]


def new(placed: list[PlacedRow]) -> list[str]:
    """The names of those that are new."""
    return [one.row.cells["Name"] for one in placed if one.known is None]


FIRST = seen(look([], row(1), row(2), row(3), row(4)))


def test_at_the_first_look_every_row_is_new_and_has_a_key_of_its_own() -> None:
    placed = look([], row(1), row(2), row(3))
    assert new(placed) == ["Name 1", "Name 2", "Name 3"]
    assert len({one.key for one in placed}) == 3


def test_nothing_is_new_in_a_sheet_that_is_unchanged() -> None:
    placed = look(FIRST, row(1), row(2), row(3), row(4))
    assert [one.key for one in placed] == [one.key for one in FIRST]
    assert not any(one.is_changed for one in placed)


@pytest.mark.parametrize("at", range(5))
def test_an_inserted_row_is_new_and_no_other(at: int) -> None:
    rows = [row(1), row(2), row(3), row(4)]
    rows.insert(at, row(9))
    assert new(look(FIRST, *rows)) == ["Name 9"]


@pytest.mark.parametrize("gone", range(4))
def test_a_deleted_row_makes_no_other_new(gone: int) -> None:
    rows = [row(number) for number in (1, 2, 3, 4) if number != gone + 1]
    placed = look(FIRST, *rows)
    assert new(placed) == []
    assert not any(one.is_changed for one in placed)


def test_a_row_that_is_cut_and_pasted_after_a_look_is_the_same() -> None:
    without = seen(look(FIRST, row(1), row(3), row(4)))
    assert look(without, row(1), row(3), row(4), row(2))[3].key == FIRST[1].key


def test_moved_rows_keep_their_keys() -> None:
    placed = look(FIRST, row(4), row(2), row(1), row(3))
    assert [one.key for one in placed] == [FIRST[at].key for at in (3, 1, 0, 2)]


@pytest.mark.parametrize("column", HEADER)
def test_an_edited_row_is_the_same_submission(column: str) -> None:
    placed = look(FIRST, row(1), row(2, **{column: "edited"}), row(3), row(4))
    assert [one.key for one in placed] == [one.key for one in FIRST]
    assert [one.is_changed for one in placed] == [False, True, False, False]


def test_moved_inserted_deleted_and_edited_at_once() -> None:
    placed = look(FIRST, row(4), row(9), row(2, Message="edited"), row(1))
    assert new(placed) == ["Name 9"]
    assert [one.key for one in placed if one.known] == [FIRST[at].key for at in (3, 1, 0)]


def test_a_person_who_writes_again_after_their_row_was_deleted_is_new() -> None:
    again = row(2, Timestamp="2026-06-01 08:00", Message="I write again")
    assert new(look(FIRST, row(1), row(3), row(4), again)) == ["Name 2"]


def test_what_many_rows_share_makes_no_row_an_edit_of_another() -> None:
    """The last row is deleted and another one appended, of which only what all have is alike."""
    other = ["2026-06-01 09:00", "Name 9", "p9@example.com", "DE", "Hello"]
    assert new(look(FIRST, row(1), row(2), row(3), other)) == ["Name 9"]


def test_rows_of_equal_cells_are_as_many_submissions() -> None:
    twice = seen(look([], row(1), row(1)))
    assert len({one.key for one in twice}) == 2
    assert len(new(look(twice, row(1), row(1), row(1)))) == 1
    assert new(look(twice, row(1))) == []


def test_a_column_that_is_moved_or_added_empty_changes_nothing() -> None:
    moved = look(FIRST, *(row(n)[::-1] for n in (1, 2, 3, 4)), header=HEADER[::-1])
    assert not any(one.is_changed for one in moved)
    added = look(FIRST, *([*row(n), ""] for n in (1, 2, 3, 4)), header=[*HEADER, "Notes"])
    assert not any(one.is_changed for one in added)


def test_a_renamed_column_edits_the_rows_and_makes_none_new() -> None:
    placed = look(FIRST, *(row(n) for n in (1, 2, 3, 4)), header=[*HEADER[:-1], "Your message"])
    assert [one.key for one in placed] == [one.key for one in FIRST]
    assert all(one.is_changed for one in placed)


def test_renamed_columns_edit_the_rows_and_make_none_new() -> None:
    """Also when all are renamed, a row is inserted, one deleted and one edited at the same time."""
    names = ["Zeitstempel", "Name", "Correo", "Land", "Nachricht"]
    rows = read_rows([names, row(1), row(9), row(2, Message="edited"), row(4)], HEADER)
    placed = align(FIRST, rows)
    assert new(placed) == ["Name 9"]
    assert [one.key for one in placed if one.known] == [FIRST[at].key for at in (0, 1, 3)]


def test_columns_that_are_swapped_or_inserted_are_not_renamed() -> None:
    swapped = read_rows([["b", "a"], ["2", "1"]], ["a", "b"])
    inserted = read_rows([["new", "a", "b"], ["0", "1", "2"]], ["a", "b"])
    assert all(one.before == one.prints for one in [*swapped, *inserted])


def test_cells_that_google_leaves_out_are_empty_ones() -> None:
    rows = read_rows([["A", "B"], ["1"], [], ["", "2", "3"], ["  ", "\n"]])
    assert [dict(one.cells) for one in rows] == [{"A": "1"}, {"B": "2", "3": "3"}]
    assert read_rows([]) == []


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["Name", "", "Name", "Name"], ["Name", "2", "Name (2)", "Name (3)"]),
        (["a (2)", "a", "a"], ["a (2)", "a", "a (3)"]),
        (["$ref", "$$", "a.b"], ["ref", "2", "a.b"]),
        ([" two\nlines ", "nul\0nul", "\ud800"], ["two lines", "nulnul", "?"]),
    ],
)
def test_columns_have_names_that_a_document_can_hold(cells: list[str], names: list[str]) -> None:
    assert headers(cells) == names


edits = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 30)),
        st.tuples(st.just("delete"), st.integers(0, 30)),
        st.tuples(st.just("move"), st.integers(0, 30)),
        st.tuples(st.just("edit"), st.integers(0, 30)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=40,
)


@given(edits)
def test_whatever_is_done_to_a_sheet_each_submission_has_one_key_for_ever(steps: list[tuple[str, int]]) -> None:
    """Between two looks at most one row is edited; the rest is free."""
    sheet: list[list[str]] = []
    known: list[KnownRow] = []
    keys: dict[str, str] = {}
    number, may_edit = 0, True
    for what, at in [*steps, ("look", 0)]:
        place = at % len(sheet) if sheet else 0
        if what == "insert":
            number += 1
            sheet.insert(place, row(number % 60, Timestamp=f"time {number}", Email=f"p{number}@example.com"))
        elif what == "delete" and sheet:
            sheet.pop(place)
        elif what == "move" and sheet:
            sheet.append(sheet.pop(place))
        elif what == "edit" and sheet and may_edit:
            sheet[place] = [*sheet[place][:4], f"edited at {len(keys)}.{at}"]
            may_edit = False
        elif what == "look":
            placed = look(known, *sheet)
            for one in placed:
                assert keys.setdefault(one.row.cells["Timestamp"], one.key) == one.key
            assert len(set(keys.values())) == len(keys)
            known, may_edit = seen(placed), True


def test_rows_are_packed_and_unpacked() -> None:
    stored = [("a:0", [b"12345678", b"abcdefgh"]), ("b:0", [])]
    assert unpack(pack(stored)) == stored


@pytest.mark.parametrize("stored", [None, "text", b"", b"\xc1nonsense", 7, [1]])
def test_what_is_no_packed_sheet_holds_no_rows(stored: object) -> None:
    assert unpack(stored) == []


def test_many_rows_are_taken_up_in_parts_and_none_twice() -> None:
    values = [HEADER, *(row(0, Timestamp=f"t{n}", Email=f"p{n}@example.com") for n in range(1200))]
    stored: Any = None
    taken: list[str] = []
    is_all = False
    while not is_all:
        seen_now, pending, is_all = _next_rows(stored, values)
        assert 0 < len(pending) <= 500
        taken += [one["key"] for one in pending]
        stored = pack(seen_now)
    assert len(taken) == len(set(taken)) == 1200
    assert _next_rows(stored, values)[1:] == ([], True)


def test_an_edited_row_that_must_wait_is_kept_as_it_was() -> None:
    huge = [HEADER, *(row(0, Timestamp=f"t{n}", Message=f"{n}" + "x" * 9000) for n in range(400))]
    first, pending, _ = _next_rows(None, huge)
    while True:
        first, pending, is_all = _next_rows(pack(first), huge)
        if is_all and not pending:
            break
    edited = [HEADER, *([*cells[:3], "FR", cells[4]] for cells in huge[1:])]
    second, pending, is_all = _next_rows(pack(first), edited)
    assert not is_all
    assert not any(one["is_new"] for one in pending)
    third, rest, _ = _next_rows(pack(second), edited)
    assert not {one["key"] for one in pending} & {one["key"] for one in rest}
    assert len(third) == 400


MAPPING = {"spreadsheet_id": "s1", "range": "Form!A1:F", "column_map": {"Email ": "email", "Name": "name"}}


def test_a_row_fills_the_fields_of_its_columns() -> None:
    mapping = read_mapping(MAPPING)
    assert mapping.contact_values({"email": " A@Example.com", "Name": " Jo\n Doe ", "Other": "x"}) == {
        "email": "A@Example.com",
        "name": "Jo Doe",
    }
    assert mapping.contact_values({"Email": "no address", "Name": "Jo"}) == {"name": "Jo"}


@pytest.mark.parametrize("values", [[], [["NAME", " email "]], [["Other", "", "Email", "Name"], ["", "x"]]])
def test_a_sheet_with_the_mapped_columns_is_read(values: list[list[str]]) -> None:
    read_mapping(MAPPING).check(values)


@pytest.mark.parametrize("first", [["Leads 2026"], [], ["E-mail", "Name"], ["Email (2)", "Name"], ["Email"]])
def test_a_sheet_without_a_mapped_column_is_refused(first: list[str]) -> None:
    with pytest.raises(Permanent, match="no column"):
        read_mapping(MAPPING).check([first, ["Email", "Name"], ["p1@example.com", "Jo"]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spreadsheet_id": ""}, "spreadsheet_id"),
        ({"spreadsheet_id": {"$ne": None}}, "spreadsheet_id"),
        ({"range": 7}, "range"),
        ({"column_map": None}, "column_map"),
        ({"column_map": {"Who": "account_id"}}, "account_id"),
        ({"column_map": {"Who": "$where"}}, r"\$where"),
        ({"column_map": {"Who": "lead_score"}}, "lead_score"),
    ],
)
def test_a_form_that_cannot_be_read_says_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Permanent, match=reason):
        read_mapping({**MAPPING, **change})
