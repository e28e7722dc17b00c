"""`.env.example` lists every setting with its default, and nothing else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from pipeline_engine import settings
from pipeline_engine.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture
def lines() -> list[str]:
    return EXAMPLE.read_text().splitlines()


def assigned(lines: list[str]) -> list[str]:
    return [line.partition("=")[0] for line in lines if line and not line.startswith("#")]


def test_it_names_every_setting_once_in_the_order_of_the_code(lines: list[str]) -> None:
    assert assigned(lines) == [name.upper() for name in Settings.model_fields]


def test_its_values_are_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    defaults = settings.load()

    (tmp_path / ".env").write_text(EXAMPLE.read_text())

    assert settings.load() == defaults


def test_a_default_that_there_is_stands_there(lines: list[str]) -> None:
    given = {name for name, _, value in (line.partition("=") for line in lines) if value}

    assert given >= {name.upper() for name, field in Settings.model_fields.items() if field.default is not None}


def test_a_comment_stands_above_each(lines: list[str]) -> None:
    bare = [line for above, line in pairwise(lines) if line and not line.startswith("#") and not above.startswith("# ")]

    assert bare == []
