"""How the columns of a file are to be read: decided once from a sample, stored with the import, and the same for every
chunk and process.

A cell such as `1.500` or `03/04/2026` is never decided by itself: its column's other cells say how it is meant, else
the file's other columns, else the account's country. What stays uncertain is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pipeline_engine.country_format import decimal_mark, writes_month_first
from pipeline_engine.domain.imports.csv.column_votes import destroyed_id, likely_order, vote_on_marks, vote_on_orders
from pipeline_engine.domain.imports.csv.values.boolean import option_reader, read_boolean
from pipeline_engine.domain.imports.csv.values.cell import Reader
from pipeline_engine.domain.imports.csv.values.date import ORDER_NAMES, Order, date_reader
from pipeline_engine.domain.imports.csv.values.email import read_email
from pipeline_engine.domain.imports.csv.values.number import MARK_NAMES, OTHER_MARK, Mark, number_reader
from pipeline_engine.domain.imports.csv.values.phone import phone_reader
from pipeline_engine.domain.imports.csv.values.url import read_url

STANDARD_TYPES: Mapping[str, str] = {"value": "number", "contact_email": "email", "contact_phone": "phone"}
"""Types of the deal's own fields; the others are text."""
DATES = ("date", "datetime")
KEEPS_EMPTY = frozenset({"email", "phone"})
"""Types that are text in the deal: their empty cell is an empty text, that of any other type is no field."""


class FieldType(NamedTuple):
    """The declared type of a custom field: text, number, date, datetime, boolean, choice, email, phone or url."""

    type: str
    options: tuple[str, ...] = ()


class Sample(NamedTuple):
    """The first cells of a mapped column that are not empty. `name` is the file's."""

    name: str
    cells: Sequence[str]


@dataclass(frozen=True)
class ValueRules:
    """How the typed columns are read: {target: {type, …}}; columns that are not named are text."""

    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    country: str | None = None
    zone: str = "UTC"
    warnings: tuple[str, ...] = ()

    @property
    def stored(self) -> dict[str, Any]:
        """What `of` makes the rules from again, but for the warnings."""
        return {"columns": dict(self.columns), "country": self.country, "zone": self.zone}

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> ValueRules:
        """The rules that an earlier run stored; all text for an import that an engine without types began."""
        return cls(**stored) if stored else cls()

    def readers(self) -> dict[str, Reader]:
        """{target: reader of its cells} for the typed columns."""
        return {target: self._reader(rule) for target, rule in self.columns.items()}

    def keeps_empty(self, target: str) -> bool:
        """Whether an empty cell of the column is an empty text in the deal; else it is no field."""
        return self.columns[target]["type"] in KEEPS_EMPTY

    def _reader(self, rule: Mapping[str, Any]) -> Reader:
        match rule["type"]:
            case "number":
                return number_reader(rule["mark"], rule["credit"])
            case "date":
                return date_reader(rule["order"], None)
            case "datetime":
                return date_reader(rule["order"], ZoneInfo(self.zone))
            case "choice":
                return option_reader(rule["options"])
            case "phone":
                return phone_reader(self.country)
        return {"boolean": read_boolean, "email": read_email, "url": read_url}[rule["type"]]


def decide(
    samples: Mapping[str, Sample],
    custom: Mapping[str, FieldType],
    country: str | None,
    zone: str | None,
    delimiter: str,
    earlier: Mapping[str, Mapping[str, Any]] | None = None,
) -> ValueRules:
    """Return the rules for a file's mapped columns, {target: sample}. `custom` are the account's declared types.

    `earlier` are the rules of the columns of a file of which this one repeats some rows: the marks of numbers and the
    orders of dates are taken from there.
    """
    types = {target: _type(target, custom) for target in samples}
    known = _known_rules(earlier or {}, types)
    known_zone = _known_zone(zone)
    warnings = [] if known_zone or not zone else [f"the account's time zone {zone!r} is not known; UTC is used"]
    open_samples = {target: sample for target, sample in samples.items() if target not in known}
    numbers = {target: sample for target, sample in open_samples.items() if types[target].type == "number"}
    dates = {target: sample for target, sample in open_samples.items() if types[target].type in DATES}
    columns: dict[str, dict[str, Any]] = {
        target: {"type": found.type, **({"options": list(found.options)} if found.options else {})}
        for target, found in types.items()
        if found.type != "text"
    }
    for rules, words in (_numbers(numbers, country, delimiter), _dates(dates, country)):
        warnings += words
        for target, rule in rules.items():
            columns[target] |= rule
    columns |= known
    texts = [sample for target, sample in samples.items() if types[target].type == "text"]
    warnings += [warning for sample in texts if (warning := _destroyed(sample))]
    return ValueRules(columns, country, known_zone or "UTC", tuple(warnings))


def _type(target: str, custom: Mapping[str, FieldType]) -> FieldType:
    declared = custom.get(target, FieldType(STANDARD_TYPES.get(target, "text")))
    known = {"number", "date", "datetime", "boolean", "email", "phone", "url"}
    is_list = declared.type == "choice" and declared.options
    return declared if is_list else FieldType(declared.type if declared.type in known else "text")


def _known_rules(earlier: Mapping[str, Mapping[str, Any]], types: Mapping[str, FieldType]) -> dict[str, dict[str, Any]]:
    """The earlier rules of the columns that are still of the same type, one that can be written in several ways."""
    return {
        target: dict(rule)
        for target, rule in earlier.items()
        if rule["type"] in ("number", *DATES) and target in types and types[target].type == rule["type"]
    }


def _known_zone(zone: str | None) -> str | None:
    try:
        return ZoneInfo(zone).key if zone else None
    except (KeyError, ValueError, OSError):  # no such zone, no name of a zone, a folder
        return None


def _numbers(
    samples: Mapping[str, Sample], country: str | None, delimiter: str
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    votes = {target: vote_on_marks(sample.cells) for target, sample in samples.items()}
    certain = {vote.winner for vote in votes.values() if vote.winner}
    of_file = certain.pop() if len(certain) == 1 else None
    rules, warnings = {}, []
    for target, vote in votes.items():
        mark: Mark = vote.winner or of_file or _usual_mark(country, delimiter, vote.doubtful)
        rules[target] = {"mark": mark, "credit": vote.credit}
        column = f"column {samples[target].name!r}"
        if vote.against:
            warnings.append(
                f"{column} has numbers with {MARK_NAMES[mark]} and others, such as {vote.against!r}, with "
                f"{MARK_NAMES[OTHER_MARK[mark]]}: the others become errors"
            )
        elif vote.doubtful and not vote.winner:
            meaning = "as the decimal mark" if (mark in vote.doubtful) else "as the separator of thousands"
            warnings.append(
                f"{column} has only numbers such as {vote.doubtful!r}, which can be read in two ways: "
                f"{'.' if '.' in vote.doubtful else ','!r} was taken {meaning}"
            )
        if vote.mixes_percent:
            warnings.append(f"{column} has numbers with and without a percent sign: 45 % is read as 0.45")
    return rules, warnings


def _usual_mark(country: str | None, delimiter: str, doubtful: str | None) -> Mark:
    if mark := decimal_mark(country):
        return mark
    if delimiter == ";":
        return ","
    # Whole amounts with grouped thousands are more frequent than three decimals.
    return "," if doubtful and "." in doubtful else "."


def _dates(samples: Mapping[str, Sample], country: str | None) -> tuple[dict[str, dict[str, Any]], list[str]]:
    votes = {target: vote_on_orders(sample.cells) for target, sample in samples.items()}
    likely = {target: vote.winner or likely_order(samples[target].cells) for target, vote in votes.items()}
    certain = {order for order in likely.values() if order}
    of_file = certain.pop() if len(certain) == 1 else None
    rules, warnings = {}, []
    for target, vote in votes.items():
        order: Order = likely[target] or of_file or _usual_order(country, vote.doubtful)
        rules[target] = {"order": order}
        column = f"column {samples[target].name!r}"
        if vote.against:
            warnings.append(
                f"{column} has dates written {ORDER_NAMES[order]} and others, such as {vote.against!r}, the other way "
                "round: the others become errors"
            )
        elif vote.doubtful and not vote.winner:
            warnings.append(
                f"{column} has only dates such as {vote.doubtful!r}, which can be read in two ways: they were read as "
                f"{ORDER_NAMES[order]}"
            )
    return rules, warnings


def _usual_order(country: str | None, doubtful: str | None) -> Order:
    # Without a country, the slash is the mark of spreadsheets set to American English.
    month_first = writes_month_first(country) if country else "/" in (doubtful or "")
    return "mdy" if month_first else "dmy"


def _destroyed(sample: Sample) -> str | None:
    cell = destroyed_id(sample.cells)
    return cell and f"column {sample.name!r} holds {cell!r}, which looks like an id that a spreadsheet has rounded"
