"""The command line in this process, on the real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, InProcess


@pytest.fixture
def engine(environment: dict[str, str], tmp_path: Path) -> CommandLine:
    """The command line with a database and Redis keys of its own."""
    return InProcess(environment, tmp_path)
