"""What the process writes to stderr, with logging put back afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
import structlog

Style = Literal["json", "console"]
Written = Callable[[], str]


@pytest.fixture
def logging_put_back() -> Iterator[None]:
    """Logging is the process's: put back what `configure` changes."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers, level, logging.raiseExceptions = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(params=["json", "console"])
def style(request: pytest.FixtureRequest) -> Style:
    style: Style = request.param
    return style


@pytest.fixture
def written(capfd: pytest.CaptureFixture[str], logging_put_back: None) -> Written:
    """What went to stderr since last asked; nothing may go to stdout, which belongs to results."""

    def read() -> str:
        out, err = capfd.readouterr()
        assert out == ""
        return err

    return read
