"""What an operator looks at first, through the real door; the many cases stand in tests/integration/cli."""

from __future__ import annotations

import pytest

from tests.support.command_line import InProcess, Subprocess


def test_doctor_shows_that_all_is_well(engine: Subprocess) -> None:
    ran = engine("doctor")

    assert ran.returncode == 0, ran.stderr
    assert "change streams" in ran.stdout


@pytest.mark.parametrize(
    ("word", "shown"),
    [("indexes", "pipeline_stages"), ("queues", "deals.import.rows"), ("dlq", "no dead letters")],
)
def test_each_shows_that_all_is_well(inside: InProcess, word: str, shown: str) -> None:
    ran = inside(word)

    assert ran.returncode == 0, ran.stderr
    assert shown in ran.stdout


def test_an_unknown_command_is_a_usage_error(engine: Subprocess) -> None:
    ran = engine("fly")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "fly" in ran.stderr
