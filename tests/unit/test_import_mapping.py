"""Only listed fields come out of a file; whatever else a mapping says is refused by name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.imports.csv.mapping import FIELDS, MAX_COLUMNS, ColumnMap, compile_mapping
from pipeline_engine.domain.imports.refusal import ImportRefused

CUSTOM = "507f1f77bcf86cd799439011"
HEADER = ("Deal Name", "Value", "Stage", "Budget")


def _refused(mappings: object, columns: tuple[str, ...] = HEADER) -> ImportRefused:
    with pytest.raises(ImportRefused) as refusal:
        compile_mapping(mappings, columns)
    return refusal.value


@pytest.mark.covers("DI-12", "DI-21")
def test_columns_become_fields_and_custom_fields() -> None:
    mappings = {"Deal Name": "name", "Stage": "stage_id", "Budget": CUSTOM}
    assert compile_mapping(mappings, HEADER) == ColumnMap(HEADER, {"name": 0, "stage_id": 2}, {CUSTOM: 3}, ())


def test_names_are_compared_without_blanks_and_byte_order_mark() -> None:
    columns = ("\ufeff Deal Name ", "Value\t")
    assert compile_mapping({"Deal Name": "name", " Value": "value"}, columns).fields == {"name": 0, "value": 1}
    assert compile_mapping({"\ufeffDeal Name": "name"}, columns).fields == {"name": 0}


@pytest.mark.parametrize(
    ("mapped", "column"),
    [
        ("deal name", "Deal Name"),
        ("Deal Name", "Deal\nName"),
        ("Deal Name", "Deal\u00a0Name "),
        ("Deal Name", "\u200bDeal Na\u00adme\ufeff"),
        ("Deal Name", "Deal Na\0me\x1a"),
        ("Größe", "Gro\u0308ße"),
        ("2", " "),
        ("2", "\u200b"),
    ],
)
def test_names_match_without_what_a_person_does_not_see(mapped: str, column: str) -> None:
    assert compile_mapping({mapped: "name"}, ("x", column)).fields == {"name": 1}


def test_the_exact_case_wins_over_another() -> None:
    assert compile_mapping({"deal": "name", "Deal": "value"}, ("Deal", "deal")).fields == {"name": 1, "value": 0}
    assert compile_mapping({"DEAL": "value", "deal": "name"}, ("deal",)).missing == ("DEAL",)


@pytest.mark.parametrize("nothing", ["", " ", None])
def test_a_column_mapped_to_nothing_is_not_imported(nothing: object) -> None:
    assert compile_mapping({"Deal Name": "name", "Budget": nothing, "Other": nothing}, HEADER).fields == {"name": 0}
    assert "empty" in str(_refused({"Deal Name": nothing}))


def test_a_custom_field_may_be_stored_as_an_id() -> None:
    assert compile_mapping({"Budget": ObjectId(CUSTOM)}, HEADER).custom == {CUSTOM: 3}


def test_every_field_of_the_contract_can_be_set() -> None:
    columns = tuple(f"column {field}" for field in FIELDS)
    compiled = compile_mapping(dict(zip(columns, FIELDS, strict=True)), columns)
    assert list(compiled.fields) == list(FIELDS)


@pytest.mark.covers("DI-12")
@pytest.mark.parametrize(
    "target",
    [
        "$where", "$set.x", "a.b", "name.x", "_id", "id", "account_id", "created_by", "owner", "pipeline_id", "tags",
        "automation_triggered", "automation_triggered.0", "automation_starts", "import_id", "additional_info",
        f"additional_info.{CUSTOM}", "source", "__proto__", "constructor", "name ", "Name", "name\0", "x\0y",
        CUSTOM.upper(), CUSTOM + "0", CUSTOM[:-1], CUSTOM[:-1] + "g", " " + CUSTOM, "\uff11" * 24,
        1, 1.5, True, [], ["name"], {}, {"$ne": None}, b"name",
    ],
)  # fmt: skip
def test_targets_off_the_list_are_refused_by_name(target: object) -> None:
    refusal = _refused({"Deal Name": "name", "Value": target})
    assert refusal.code == "mapping"
    assert "'Value'" in str(refusal)
    assert repr(target) in str(refusal)


@pytest.mark.covers("DI-X12")
@pytest.mark.parametrize("target", ["value", CUSTOM])
def test_two_columns_for_one_field_are_refused_with_both_names(target: str) -> None:
    refusal = _refused({"Deal Name": "name", "Value": target, "Budget": target})
    assert refusal.code == "mapping"
    assert all(part in str(refusal) for part in ("'Value'", "'Budget'", target))


def test_one_column_named_twice_is_refused() -> None:
    assert "'Value'" in str(_refused({"Value": "value", " Value ": CUSTOM}))


@pytest.mark.covers("DI-X12")
def test_equal_columns_are_refused_by_name_when_they_are_mapped() -> None:
    columns = ("Deal Name", "Note", "Note ", "\ufeffNote", "Value")
    assert compile_mapping({"Deal Name": "name"}, columns).fields == {"name": 0}
    refusal = _refused({"Deal Name": "name", "Note": CUSTOM}, columns)
    assert refusal.code == "header"
    assert "'Note'" in str(refusal)
    assert "'Value'" not in str(refusal)


def test_columns_without_a_name_are_no_harm() -> None:
    assert compile_mapping({"Deal Name": "name"}, ("", "Deal Name", " ", "")).fields == {"name": 1}
    assert _refused({"": "name"}).code == "mapping"


@pytest.mark.covers("R-21")
def test_too_many_columns_are_refused() -> None:
    columns = tuple(f"c{n}" for n in range(MAX_COLUMNS))
    assert compile_mapping({"c0": "name"}, columns).columns == columns
    assert "513" in str(_refused({"c0": "name"}, (*columns, "one more")))
    assert _refused({f"c{n}": f"{n:024x}" for n in range(MAX_COLUMNS + 1)}).code == "mapping"


@pytest.mark.parametrize("mappings", [None, [], ["name"], "name", 5, [["Value", "value"]]])
def test_mappings_of_another_shape_are_refused(mappings: object) -> None:
    assert "object" in str(_refused(mappings))


def test_empty_mappings_and_files_of_something_else_are_refused() -> None:
    assert "empty" in str(_refused({}))
    assert "'Foo'" in str(_refused({"Foo": "value", "Bar": "status"}))


def test_a_missing_column_is_reported_and_gets_a_place_that_no_row_has() -> None:
    compiled = compile_mapping({"Deal Name": "name", "Phone": "contact_phone", "Extra": CUSTOM}, HEADER)
    assert compiled == ColumnMap(HEADER, {"name": 0, "contact_phone": 4}, {CUSTOM: 4}, ("Phone", "Extra"))


@pytest.mark.parametrize("target", ["name", "stage_id"])
def test_a_missing_column_that_is_needed_is_refused_by_name(target: str) -> None:
    refusal = _refused({"Value": "value", "Titel": target})
    assert refusal.code == "columns"
    assert "'Titel'" in str(refusal)


def test_a_hostile_name_does_not_swell_the_message() -> None:
    refusal = _refused({"x" * 1_000_000: "$where", "y": "y" * 1_000_000})
    assert len(str(refusal)) < 1000
    assert "\n" not in str(_refused({"a\r\nb\x1b[31m": "$where"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*FIELDS, CUSTOM]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.lists(st.sampled_from(["a", "b", " a", "", "\ufeffb"]) | st.text(max_size=4), max_size=6)


@given(mappings=JSON | st.dictionaries(st.sampled_from("ab") | st.text(max_size=3), JSON), columns=NAMES)
def test_anything_compiles_to_listed_targets_or_is_refused(mappings: Any, columns: list[str]) -> None:
    try:
        compiled = compile_mapping(mappings, tuple(columns))
    except ImportRefused as refusal:
        if refusal.code in {"mapping", "header", "columns"}:
            return
        raise
    assert set(compiled.fields) <= set(FIELDS)
    assert all(re.fullmatch("[0-9a-f]{24}", target) for target in compiled.custom)
    places = [*compiled.fields.values(), *compiled.custom.values()]
    assert len(places) == sum(bool(target and str(target).strip()) for target in mappings.values())
    assert len([place for place in places if place == len(columns)]) == len(compiled.missing)
