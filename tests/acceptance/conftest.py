"""The engine from outside: commands in, exit codes and text out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Subprocess


@pytest.fixture
def engine(environment: dict[str, str], tmp_path: Path) -> Subprocess:
    """The command line with a database and Redis keys of its own."""
    return Subprocess(environment, tmp_path)
