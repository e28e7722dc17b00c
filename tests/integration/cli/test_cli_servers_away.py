"""Every command that needs a server says which one is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import InProcess

COMMANDS = ["imports list", "indexes"]


@pytest.mark.parametrize("words", COMMANDS)
def test_mongodb_is_away(tmp_path: Path, words: str) -> None:
    engine = InProcess({"MONGO_URL": "mongodb://127.0.0.1:1/crm", "REDIS_URL": "redis://127.0.0.1:1/0"}, tmp_path)

    ran = engine(*words.split())

    assert (ran.returncode, ran.stdout) == (3, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("MongoDB at MONGO_URL does not answer within 5 s: ")


def test_without_arguments_it_says_what_it_can_do(tmp_path: Path) -> None:
    ran = InProcess({}, tmp_path)()

    assert ran.returncode == 2
    for command in ("run-once", "demo", "dev", "doctor", "indexes", "queues", "dlq", "imports"):
        assert f"  {command} " in ran.stdout + ran.stderr
