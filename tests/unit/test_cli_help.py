"""`--help` of every command shows whole sentences on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from pipeline_engine.__main__ import program
from tests.support.command_line import InProcess

COLUMNS = 80


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and sub-command."""
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*words, name))


def test_no_sentence_is_cut_and_no_line_is_too_long(tmp_path: Path) -> None:
    engine = InProcess({"COLUMNS": str(COLUMNS)}, tmp_path)
    helps = {words: engine(*words, "--help") for words in commands(get_command(program))}

    assert len(helps) > 30
    lines = [(words, line) for words, ran in helps.items() for line in ran.stdout.splitlines()[1:]]  # 0: the usage
    assert [(words, line) for words, line in lines if line.endswith("...") or len(line) > COLUMNS] == []
