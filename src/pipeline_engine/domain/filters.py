"""The filters of workflows and webhooks: conditions on the fields of an event and of the records that it names. Pure.

A filter is `{"field", "op", "value"}`, or `{"all": [filters]}` or `{"any": [filters]}`, nested at will; an empty one
matches everything. Equality is that of MongoDB: a list matches when one of its elements does, null and a missing field
are the same. Besides, the text of an id equals the id, and the ISO text of a time equals the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipeline_engine.domain.filter_operators import OPERATORS, VALUES, any_value
from pipeline_engine.errors import Permanent

Facts: TypeAlias = Mapping[str, Any]
"""By the first part of a field's name: `type`, `data`, … of the event; `contact`, `deal` and `lead` are records."""

FACTS = ("id", "type", "version", "user_id", "key", "occurred_at", "data", "contact", "deal", "lead")
RECORDS = ("contact", "deal", "lead")
MAX_DEPTH = 20
MAX_TESTS = 500


@dataclass(frozen=True)
class FieldTest:
    """One condition: what stands in the field passes the operator with the value."""

    field: str
    op: str
    value: Any


@dataclass(frozen=True)
class Filter:
    """All of the parts must match, or any of them."""

    any: bool
    parts: tuple[Filter | FieldTest, ...]


def read_filter(raw: object) -> Filter:
    """The filter as it is stored in a workflow or webhook; None counts as empty.

    Raises: Permanent `filter`, which names the operator, field or value that cannot be used, and where it stands.
    """
    if raw is None or raw == {}:
        return Filter(False, ())
    part = _read(raw, "filter", MAX_DEPTH)
    whole = part if isinstance(part, Filter) else Filter(False, (part,))
    if (count := sum(1 for _ in _tests(whole))) > MAX_TESTS:
        raise Permanent(f"filter: {count} conditions are more than {MAX_TESTS}", "filter")
    return whole


def _read(raw: object, place: str, depth: int) -> Filter | FieldTest:
    if not isinstance(raw, Mapping):
        raise _refused(place, f"{_short(raw)} is not an object with field and op, with all or with any")
    if depth == 0:
        raise _refused(place, f"it is nested deeper than {MAX_DEPTH} levels")
    kinds = [kind for kind in ("all", "any") if kind in raw]
    if not kinds:
        return _read_test(raw, place)
    if len(kinds) > 1 or "field" in raw or "op" in raw:
        raise _refused(place, "one object holds either all, or any, or field and op")
    parts = raw[kinds[0]]
    if not isinstance(parts, list | tuple) or not parts:
        raise _refused(place, f"{kinds[0]} needs a list of conditions")
    read = (_read(part, f"{place}.{kinds[0]}[{number}]", depth - 1) for number, part in enumerate(parts))
    return Filter(kinds[0] == "any", tuple(read))


def _read_test(raw: Mapping[Any, Any], place: str) -> FieldTest:
    field, op = raw.get("field"), raw.get("op")
    if not isinstance(field, str) or not all(field.split(".")):
        raise _refused(place, f"{_short(field)} is not the name of a field")
    if field.split(".")[0] not in FACTS:
        raise _refused(place, f"unknown field {_short(field)}: fields begin with {', '.join(FACTS)}")
    if not isinstance(op, str) or op not in OPERATORS:
        raise _refused(place, f"unknown operator {_short(op)} for {field}; known are {', '.join(OPERATORS)}")
    if "value" not in raw and op != "exists":
        raise _refused(place, f"{op} for {field} needs a value")
    value = raw.get("value", True)
    fits, wanted = VALUES.get(op, (any_value, ""))
    if not fits(value):
        raise _refused(place, f"{op} for {field} needs {wanted}, not {_short(value)}")
    return FieldTest(field, op, value)


def _refused(place: str, why: str) -> Permanent:
    return Permanent(f"{place}: {why}", "filter")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def matches(filter: Filter, facts: Facts) -> bool:
    """Whether the facts pass the filter. Whatever types they hold, nothing is raised."""
    quantifier = any if filter.any else all
    return quantifier(
        matches(part, facts) if isinstance(part, Filter) else passes(part, facts) for part in filter.parts
    )


def passes(test: FieldTest, facts: Facts) -> bool:
    """Whether the facts pass this one condition."""
    return OPERATORS[test.op](values_at(facts, test.field.split(".")), test.value)


def tests_of(filter: Filter) -> list[FieldTest]:
    """Every condition of the filter, in the order in which they are written."""
    return list(_tests(filter))


def _tests(filter: Filter) -> Iterator[FieldTest]:
    for part in filter.parts:
        if isinstance(part, Filter):
            yield from _tests(part)
        else:
            yield part


def records_read(*filters: Filter) -> set[str]:
    """Which records the filters read: some of `contact`, `deal` and `lead`. The caller need not read the others."""
    roots = {test.field.split(".")[0] for filter in filters for test in _tests(filter)}
    return roots & set(RECORDS)


def values_at(facts: object, path: Sequence[str]) -> list[Any]:
    """What stands at the path, without nulls; more than one value where the path leads through a list."""
    if not path:
        return [] if facts is None else [facts]
    if isinstance(facts, Mapping):
        return values_at(facts.get(path[0]), path[1:])
    if not isinstance(facts, list | tuple):
        return []
    if path[0].isdecimal():
        places = {str(place): one for place, one in enumerate(facts)}
        return values_at(places.get(path[0]), path[1:])
    return [value for one in facts if isinstance(one, Mapping) for value in values_at(one, path)]
