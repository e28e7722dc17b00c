"""An option that narrows a command, and that a shell variable left empty, does not widen it to everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_engine.cli.arguments import read_account
from pipeline_engine.errors import ConfigError
from tests.support.command_line import InProcess

ID = "507f1f77bcf86cd799439011"
FILE = Path(__file__)
SUBMIT = f"imports submit {FILE} --account {ID} --user {ID} --pipeline {ID} --map a=b"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((command, "--account") for command in ("jobs run lead_recycling", "events replay", "mail list")),
        *(("dlq retry --all", option) for option in ("--account", "--lane", "--type", "--error", "--older-than")),
        *((f"events {word}", "--type") for word in ("list", "replay")),
        *((f"leads pause --account {ID}", option) for option in ("--stage", "--pipeline", "--for")),
        ("leads resume", "--account"),
        ("leads list", "--stage"),
        (SUBMIT, "--retry-of"),
    ],
)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_option_is_an_error_of_usage(command: str, option: str, empty: str, tmp_path: Path) -> None:
    ran = InProcess({}, tmp_path)(*command.split(), option, empty)
    assert (ran.returncode, f"'{option}': the value is empty" in ran.stderr) == (2, True)


def test_an_empty_account_is_not_every_account() -> None:
    assert read_account(None) is None
    with pytest.raises(ConfigError, match="--account"):
        read_account("")
