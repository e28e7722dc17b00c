"""How a row is written: a list inside a quoted cell is written in another way than the rows of its file."""

from __future__ import annotations

from typing import NamedTuple

from pipeline_engine.domain.imports.csv.grammar import Grammar


class RowStyle(NamedTuple):
    """`quotes`: all cells are quoted, also one that needs no quotes; `blanks`: a blank follows a delimiter."""

    grammar: Grammar
    quotes: bool
    blanks: bool

    @classmethod
    def of(cls, before: bytes, behind: bytes, grammar: Grammar) -> RowStyle:
        """Return the style of a line in which a quote that does not close there stands between the two parts."""
        quote, delimiter = grammar.quote, grammar.delimiter
        cells = [found[0] for found in grammar.patterns.field_in_line.finditer(before)]
        is_needless = any(cell.count(quote) == 2 and cell.count(delimiter) == 1 for cell in cells)
        return cls(
            grammar,
            quotes=is_needless and all(cell.startswith(quote) for cell in cells),
            blanks=any(cell.startswith(b" ") for cell in cells) or delimiter + b" " in behind,
        )

    def is_that_of(self, line: bytes) -> bool:
        """Return whether the line may be a row that the same program has written."""
        if self.quotes and self.grammar.quote not in line:
            return False
        delimiter = self.grammar.delimiter
        return self.blanks or line.count(delimiter + b" ") < line.count(delimiter)
