"""The reader of the checklist."""

from __future__ import annotations

from tests.covers import LATER, missing, named, rows, unknown

CHECKLIST = """
| row | what must hold |
| --- | --- |
| DI-01 | a rule, see DI-99 |
| DI-X2 | a defect |
| DI-20 | comes later |
| EV-01 | not built yet |
"""
TESTS = '''
import pytest
pytestmark = pytest.mark.covers("DI-01")

@pytest.mark.slow
@pytest.mark.covers("DI-X2", "R-29")
async def test_it() -> None:
    """Holds DI-20."""
'''


def test_rows_are_the_first_cells() -> None:
    assert rows(CHECKLIST) == ["DI-01", "DI-X2", "DI-20", "EV-01"]


def test_tests_name_rows_by_mark_only() -> None:
    assert named(TESTS) == {"DI-01", "DI-X2", "R-29"}


def test_a_row_of_a_built_system_needs_a_test() -> None:
    assert "DI-20" in LATER
    assert missing(rows(CHECKLIST), {"DI-01"}) == ["DI-X2"]
    assert missing(rows(CHECKLIST), named(TESTS)) == []


def test_a_slip_of_the_pen_is_found() -> None:
    assert unknown(rows(CHECKLIST), {"DI-01", "DI-1", "R-29"}) == ["DI-1"]
