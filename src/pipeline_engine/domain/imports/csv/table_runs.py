"""Runs of rows of one width among the rows of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.table_reader import TableRow


class Run(NamedTuple):
    """The rows `start` to `end` - 1 of the sample, of one `width`: one table, or what may be one."""

    start: int
    end: int
    width: int

    @property
    def size(self) -> int:
        return self.end - self.start


def find_runs(rows: Sequence[TableRow]) -> list[Run]:
    """Return the rows of one width in a row; a blank row ends a run."""
    runs: list[Run] = []
    open_run = False
    for place, row in enumerate(rows):
        if row.is_blank:
            open_run = False
        elif open_run and runs[-1].width == len(row.cells):
            runs[-1] = runs[-1]._replace(end=place + 1)
        else:
            runs.append(Run(place, place + 1, len(row.cells)))
            open_run = True
    return runs
