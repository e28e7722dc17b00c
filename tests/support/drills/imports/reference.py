"""What an import must make of a file, worked out by Python's own CSV reader and with no code of the engine."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NEEDED = ("name", "stage_id")


@dataclass(frozen=True)
class Reference:
    """Row 1 is the first data row. Every row is in exactly one of the two."""

    header: list[str]
    deals: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Fields of the deal; `stage` is the stage's name in lower case."""
    errors: dict[int, str] = field(default_factory=dict)
    """The code of the error."""

    @property
    def rows(self) -> int:
        return len(self.deals) + len(self.errors)


def read(file: bytes, mappings: Mapping[str, str]) -> Reference:
    """The reference for a comma-separated UTF-8 file."""
    # Bytes that are no UTF-8 become lone surrogates: so the reader goes on, and the row is known.
    text = file.decode("utf-8-sig", errors="surrogateescape")
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    reference = Reference(header)
    for number, cells in enumerate(rows, 1):
        if code := _fault(header, cells, mappings):
            reference.errors[number] = code
        else:
            reference.deals[number] = _deal(header, cells, mappings)
    return reference


def _fault(header: list[str], cells: list[str], mappings: Mapping[str, str]) -> str | None:
    if any("\ud800" <= character <= "\udfff" for cell in cells for character in cell):
        return "encoding"
    if len(cells) != len(header):
        return "ragged"
    needed = [column for column, target in mappings.items() if target in NEEDED]
    return "required" if any(not cells[header.index(column)].strip() for column in needed) else None


def _deal(header: list[str], cells: list[str], mappings: Mapping[str, str]) -> dict[str, Any]:
    fields = {target: cells[header.index(column)].strip() for column, target in mappings.items()}
    deal = {target: _spelled(target, value) for target, value in fields.items() if not _is_id(target)}
    return {**deal, "additional_info": {target: value for target, value in fields.items() if _is_id(target)}}


def _spelled(target: str, value: str) -> str | float:
    if target == "value":
        return float(value)
    if target in ("status", "contract_type"):
        return value.replace(" ", "_").replace("-", "_").lower()
    return " ".join(value.split()).lower() if target == "stage_id" else value


def _is_id(target: str) -> bool:
    return len(target) == 24 and all(digit in "0123456789abcdef" for digit in target)


def same_stage(name: str) -> str:
    """What all spellings of one stage name have in common."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())
