"""What the folders of tests may import, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LEVELS = ("unit", "integration", "acceptance", "faults")
MAX_LINES = 300


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, by their dotted names."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("folder", [*LEVELS, "support"])
def test_levels_share_only_what_stands_in_support(folder: str) -> None:
    others = tuple(f"tests.{level}." for level in LEVELS if level != folder)
    for file in (TESTS / folder).rglob("*.py"):
        assert [name for name in imported(file) if f"{name}.".startswith(others)] == [], file


def test_no_file_of_tests_is_too_long() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in TESTS.rglob("*.py")}
    assert {str(file): lines for file, lines in lengths.items() if lines > MAX_LINES} == {}
