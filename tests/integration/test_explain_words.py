"""`explain` and `forecast` as commands: exit codes, tables, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.command_line import InProcess
from tests.support.world import World


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> InProcess:
    return InProcess(environment, tmp_path)


def test_what_does_not_exist_and_what_is_no_id(command: InProcess, world: World) -> None:
    automation, missing = world.automation("add_tag", tag=ObjectId()), ObjectId()
    unknown = command("explain", "automation", automation, "--deal", missing)
    assert (unknown.returncode, f"there is no deal {missing}" in unknown.stderr) == (1, True)
    malformed = command("explain", "automation", automation, "--deal", "x")
    assert (malformed.returncode, "--deal: given 'x'" in malformed.stderr) == (2, True)
    assert command("explain", "automation", automation).returncode == 2
    assert command("explain", "import", missing).returncode == 1
    assert command("explain", "import", "x").returncode == 2


def test_an_import(command: InProcess, world: World) -> None:
    queue = world.queue("imports/a.csv")
    found = command("explain", "import", queue, "--json")
    assert (found.returncode, json.loads(found.stdout)["next"]["what"]) == (0, "runs")
    ran = command("explain", "import", queue)
    assert ran.stdout.startswith("This import will run at ")
    assert "No daemon runs" in ran.stderr


def test_a_forecast(command: InProcess, world: World) -> None:
    automation = world.automation("add_tag", tag=ObjectId(), delay=7200)
    deal, _ = world.deal(), world.deal()

    found = json.loads(command("forecast", "automations", "--hours", "3", "--limit", "1", "--json").stdout)
    ran = command("forecast", "automations", "--account", world.account)
    none = command("forecast", "automations", "--hours", "1")

    assert (found["cut"], [one["automation"] for one in found["firings"]]) == (True, [str(automation)])
    assert str(deal) in ran.stdout
    assert none.stdout.startswith("0 until")
    assert command("forecast", "automations", "--account", "x").returncode == 2
