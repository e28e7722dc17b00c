"""What a form's `google_sheet` says: which range of which sheet, and which column is which field of a contact. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_engine.domain.sheets.rows import column_names, headers
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_address import read_email_address

CONTACT_FIELDS = ("email", "name", "company", "title", "phone")
"""The fields that a sheet may fill."""
MAX_VALUE_CHARS = 500
MAX_ID_CHARS = 200
DEFAULT_RANGE = "A:ZZ"


@dataclass(frozen=True)
class SheetMapping:
    """The settings of one form's sheet. `columns` is {header: field}."""

    spreadsheet_id: str
    range: str
    columns: Mapping[str, str]

    def check(self, values: Sequence[Sequence[str]]) -> None:
        """Raises: Permanent `bad_header` when the first row lacks a header of the columns: it was renamed, or is none.

        Read all the same, every row would be another one, and without its contact.
        """
        names = {name.casefold() for name in column_names(values)}
        absent = [header[:50] for header in self.columns if header.casefold() not in names]
        if values and absent:
            raise Permanent(f"the first row of its range has no column {', '.join(absent)}", "bad_header")

    def contact_values(self, cells: Mapping[str, str]) -> dict[str, str]:
        """{field: value} of the contact that a row is about; `email` only when it is an address."""
        names = {name.casefold(): text for name, text in cells.items()}
        found = {field: names.get(header.casefold(), "") for header, field in self.columns.items()}
        values = {field: " ".join(text.split())[:MAX_VALUE_CHARS] for field, text in found.items() if text}
        try:
            return {**values, "email": read_email_address(values.get("email"))}
        except Permanent:
            return {field: text for field, text in values.items() if field != "email"}


def read_mapping(settings: Mapping[str, Any]) -> SheetMapping:
    """The settings in `google_sheet`. Raises: Permanent `bad_form`, which says what is wrong."""
    id, where, columns = settings.get("spreadsheet_id"), settings.get("range"), settings.get("column_map")
    if not isinstance(id, str) or not id.strip() or len(id) > MAX_ID_CHARS:
        raise Permanent("its spreadsheet_id is missing", "bad_form")
    if where is not None and not isinstance(where, str):
        raise Permanent("its range is no text", "bad_form")
    if not isinstance(columns, Mapping) or not columns:
        raise Permanent("its column_map is missing", "bad_form")
    named = {header: field for header, field in columns.items() if field}
    if unknown := sorted(str(field)[:50] for field in named.values() if field not in CONTACT_FIELDS):
        raise Permanent(
            f"its column_map names {', '.join(unknown)}: a sheet fills {', '.join(CONTACT_FIELDS)}", "bad_form"
        )
    clean = {headers([str(header)])[0]: str(field) for header, field in named.items()}
    return SheetMapping(id.strip(), (where or "").strip() or DEFAULT_RANGE, clean)
