"""What a user reads when a quote of the file opens and never closes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unclosed_refusal(chunk: Mapping[str, Any]) -> str:
    """Return what happened at this chunk, what was imported and what to do."""
    row, line = chunk["first_row"], chunk["first_line"]
    before = f"the rows before it are imported (rows 1 to {row - 1})" if row > 1 else "nothing is imported"
    return (
        f"row {row} (line {line}): a quote opens and never closes, so it is unknown where the next row begins; "
        f"{before}, and nothing from row {row} on. Correct the quote in the file, put it in the place of the old one "
        f"and retry the import: it goes on with row {row}"
    )
