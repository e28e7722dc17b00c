"""Filters of workflows and webhooks: what each operator means, on whatever types documents hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId

from pipeline_engine.domain.filters import matches, read_filter, records_read
from pipeline_engine.errors import Permanent

TAG = ObjectId("6b0797a127c030931f328d62")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "type": "contact.created",
    "data": {
        "source": "form",
        "amount": Decimal128("12.50"),
        "count": Int64(7),
        "at": NOON,
        "starts": "2026-01-31T09:30:00+02:00",
        "day": "2026-01-31",
        "nothing": None,
        "ok": True,
        "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 5}, "odd"],
        "nan": float("nan"),
    },
    "contact": {"tags": [TAG, "VIP"], "name": "Ann Lee", "owner": str(TAG), "lead_score": 60},
}


def passes(field: str, op: str, value: Any = ...) -> bool:
    raw = {"field": field, "op": op} | ({} if value is ... else {"value": value})
    return matches(read_filter(raw), FACTS)


@pytest.mark.parametrize(
    ("field", "op", "value", "wanted"),
    [
        ("data.source", "eq", "form", True),
        ("data.source", "eq", "Form", False),
        ("data.source", "ne", "form", False),
        ("data.source", "in", ["api", "form"], True),
        ("data.source", "nin", ["api", "form"], False),
        ("data.missing", "eq", None, True),
        ("data.missing", "ne", "form", True),
        ("data.missing", "nin", ["form"], True),
        ("data.nothing", "exists", True, False),
        ("data.source", "exists", True, True),
        ("data.missing", "exists", False, True),
        ("data.amount", "gt", 12, True),
        ("data.amount", "eq", 12.5, True),
        ("data.count", "lte", 7, True),
        ("data.count", "gt", 7, False),
        ("data.count", "gte", "7", False),
        ("data.ok", "eq", 1, False),
        ("data.ok", "eq", True, True),
        ("data.nan", "gte", 0, False),
        ("data.at", "gt", "2026-05-01T11:59:59Z", True),
        ("data.at", "eq", "2026-05-01T14:00:00+02:00", True),
        ("data.at", "lt", "no time", False),
        ("data.starts", "gt", "2026-01-31T08:00:00Z", False),
        ("data.starts", "lt", "2026-01-31T08:00:00Z", True),
        ("data.starts", "gte", "2026-01-31T07:30:00Z", True),
        ("data.starts", "lte", "2026-01-31T07:30:00.000Z", True),
        ("data.starts", "eq", "2026-01-31T07:30:00Z", False),
        ("data.starts", "gt", "2026-01-31T08:00:00", True),
        ("data.starts", "lt", "0001-01-01T00:00:00+14:00", False),
        ("data.starts", "lt", "later", True),
        ("data.day", "lt", "2026-02-01", True),
        ("data.day", "lt", "2026-01-31T08:00:00Z", True),
        ("data.lines.sku", "eq", "b", True),
        ("data.lines.n", "gt", 4, True),
        ("data.lines.1.sku", "eq", "b", True),
        ("data.lines.9.sku", "exists", True, False),
        ("data.lines", "contains", "odd", True),
        ("contact.tags", "contains", str(TAG), True),
        ("contact.tags", "eq", TAG, True),
        ("contact.tags", "contains", "vi", False),
        ("contact.name", "contains", "ann", True),
        ("contact.name", "contains", 3, False),
        ("contact.owner", "eq", TAG, True),
        ("contact.lead_score", "gte", 60, True),
        ("deal.value", "gt", 1, False),
        ("data.source.deeper", "eq", "form", False),
    ],
)
def test_operator(field: str, op: str, value: Any, wanted: bool) -> None:
    assert passes(field, op, value) is wanted


def test_exists_needs_no_value() -> None:
    assert passes("data.source", "exists")


def test_nested_all_and_any() -> None:
    form, vip = {"field": "data.source", "op": "eq", "value": "form"}, {"field": "contact.tags", "op": "eq", "value": 1}
    great = {"field": "contact.lead_score", "op": "gte", "value": 60}
    assert matches(read_filter({"all": [form, {"any": [vip, great]}]}), FACTS)
    assert not matches(read_filter({"all": [form, {"all": [vip, great]}]}), FACTS)
    assert not matches(read_filter({"any": [vip, {"all": [vip, great]}]}), FACTS)


@pytest.mark.parametrize("raw", [None, {}])
def test_empty_filter_matches_everything(raw: object) -> None:
    assert matches(read_filter(raw), {})


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"field": "data.x", "op": "regex", "value": "a"}, "unknown operator 'regex' for data.x"),
        ({"field": "data.x", "op": ["eq"], "value": "a"}, "unknown operator ['eq']"),
        ({"field": "source", "op": "eq", "value": "a"}, "unknown field 'source'"),
        ({"field": "data..x", "op": "eq", "value": "a"}, "'data..x' is not the name of a field"),
        ({"field": 7, "op": "eq", "value": "a"}, "7 is not the name of a field"),
        ({"field": "data.x", "op": "eq"}, "eq for data.x needs a value"),
        ({"field": "data.x", "op": "in", "value": "a"}, "in for data.x needs a list, not 'a'"),
        ({"field": "data.x", "op": "gt", "value": [1]}, "gt for data.x needs a number, a text or a time"),
        ({"field": "data.x", "op": "exists", "value": "yes"}, "exists for data.x needs true or false"),
        ({"any": []}, "any needs a list of conditions"),
        ({"all": {"field": "data.x"}}, "all needs a list of conditions"),
        ({"all": [{}], "any": [{}]}, "one object holds either"),
        ([], "[] is not an object"),
        ("eq", "'eq' is not an object"),
        ({"all": [{"any": [{"field": "data.x", "op": "is", "value": 1}]}]}, "filter.all[0].any[0]: unknown operator"),
    ],
)
def test_bad_filter_is_refused_by_name(raw: object, named: str) -> None:
    with pytest.raises(Permanent, match=r"^filter") as refusal:
        read_filter(raw)
    assert named in str(refusal.value)
    assert refusal.value.code == "filter"


def test_nesting_and_size_are_limited() -> None:
    one = {"field": "data.x", "op": "eq", "value": 1}
    deep: dict[str, Any] = one
    for _ in range(50):
        deep = {"all": [deep]}
    for raw in (deep, {"all": [one] * 501}):
        with pytest.raises(Permanent, match=r"deeper|more than 500"):
            read_filter(raw)


def test_only_records_that_a_filter_names_are_read() -> None:
    raw = {"any": [{"field": "contact.tags", "op": "exists"}, {"field": "data.x", "op": "exists"}]}
    assert records_read(read_filter(raw)) == {"contact"}
    assert records_read(read_filter(None)) == set()
