"""Which rows of docs/checklist.md no test names: `python -m tests.covers`. Exit code 1 when there are any."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SYSTEMS = ("DI", "DA", "FC", "LP", "CL")  # the systems built so far
LATER = {
    "DI-20": "mails at the end of an import",
    "DI-X12": "detection of encodings",
    "DI-X14": "typed values and duplicates",
}
ROW = re.compile(r"^\| *([A-Z]+-X?\d+) *\|", re.MULTILINE)


def rows(checklist: str) -> list[str]:
    """The ids of the rows of a checklist in Markdown."""
    return ROW.findall(checklist)


def named(source: str) -> set[str]:
    """The rows that the tests of one file say they hold."""
    return {row for call in _marks(ast.parse(source)) for row in map(ast.literal_eval, call.args)}


def missing(checklist: list[str], covered: set[str]) -> list[str]:
    """The rows of the systems built so far that should have a test and have none."""
    return [row for row in checklist if row.split("-")[0] in SYSTEMS and row not in covered | LATER.keys()]


def unknown(checklist: list[str], covered: set[str]) -> list[str]:
    """What tests name of these systems though the checklist has no such row."""
    return sorted(row for row in covered - set(checklist) if row.split("-")[0] in SYSTEMS)


def _marks(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.covers":
            yield node


def main() -> int:
    checklist = rows((ROOT / "docs" / "checklist.md").read_text())
    covered = set().union(*(named(file.read_text()) for file in (ROOT / "tests").rglob("test_*.py")))
    complaints = [f"{row}: no test names it" for row in missing(checklist, covered)]
    complaints += [f"{row}: named by a test, but not a row" for row in unknown(checklist, covered)]
    sys.stdout.writelines(f"{line}\n" for line in complaints or [f"{len(checklist)} rows: each has a test or a date."])
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
