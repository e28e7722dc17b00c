"""Says which mapped columns a file lacks, which it has instead, and which of these was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from pipeline_engine.domain.imports.refusal import quoted

MAX_LISTED = 10
MAX_HINTS = 3
MIN_LIKENESS = 0.6
MAX_COMPARED = 64
"""Columns that are compared with each missing one, and characters of a name: comparing is slow."""


def missing_columns(missing: Mapping[str, str], columns: Sequence[str]) -> str:
    """Return what a person needs to mend the mapping: `missing` is {column: target}, `columns` are the file's."""
    names = [name for name in columns if name.strip()]
    found = f"its {len(names)} columns are {listed(names)}" if len(names) != 1 else f"its one column is {listed(names)}"
    if not names:
        found = "none of its columns has a name"
    asked = list(missing)[:MAX_HINTS]
    hints = [f"{quoted(near)} may be meant by {quoted(one)}" for one in asked if (near := nearest_name(one, names))]
    many = "s" if len(missing) > 1 else ""
    return "; ".join([f"no column{many} {listed(missing)}: {found}", *hints])


def nearest_name(name: str, columns: Sequence[str]) -> str | None:
    """Return the column that is most like the name, or None when none is."""
    folded = {" ".join(one.casefold().split())[:MAX_COMPARED]: one for one in reversed(columns[:MAX_COMPARED])}
    wanted = " ".join(name.casefold().split())[:MAX_COMPARED]
    begin = [key for key in folded if key and (key.startswith(wanted) or wanted.startswith(key))]
    near = begin or get_close_matches(wanted, folded, n=1, cutoff=MIN_LIKENESS)
    inside = near or [key for key in folded if key and (key in wanted or wanted in key)]
    return folded[inside[0]] if inside else None


def listed(names: Iterable[str]) -> str:
    """Return the names, quoted, at most `MAX_LISTED` of them."""
    every = list(names)
    shown = ", ".join(quoted(name) for name in every[:MAX_LISTED])
    more = len(every) - MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown
