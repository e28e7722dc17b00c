"""What the process writes to stderr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

Style = Literal["json", "console"]
Written = Callable[[], str]


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
