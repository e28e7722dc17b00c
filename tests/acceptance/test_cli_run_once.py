"""`run-once` through the real door."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.command_line import InProcess, Subprocess
from tests.support.load import load_factor
from tests.support.world import SAMPLE, World

NOWHERE = "127.0.0.1:1"


@pytest.mark.covers("DI-25", "DI-16", "DI-19")
def test_the_seeds_sample_becomes_three_deals_and_one_json_object(engine: Subprocess, world: World) -> None:
    queue_id = world.submit(SAMPLE)

    ran = engine("run-once", "deals.import", "--json")

    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
    (sweep,) = printed["sweeps"]
    assert printed["ok"] is True
    assert sweep.pop("seconds") > 0
    assert sweep == {"name": "deals.import", "units": 1, "jobs": 2, "succeeded": 1, "failed": 0, "busy": 0}
    ended = world.import_of(queue_id)
    assert (ended["status"], ended["in_progress"]) == ("completed", False)
    assert world.report_of(queue_id)["total_records_added"] == 3
    stages = world.stage_names()
    assert [stages[deal["stage_id"]] for deal in world.deals_of(queue_id)] == ["qualified", "proposal", "negotiation"]


def test_all_enabled_sweeps_run_when_none_is_named_and_one_table_is_printed(engine: Subprocess, world: World) -> None:
    queue_id = world.submit(SAMPLE)

    ran = engine("run-once", QM_DEALS_AUTOMATIONS="false")

    assert ran.returncode == 0, ran.stderr
    assert world.import_of(queue_id)["status"] == "completed"
    heading, *rows = [line for line in ran.stdout.splitlines() if "│" in line or "┃" in line]
    assert [word.strip() for word in heading.strip("┃").split("┃")] == [
        "sweep", "units", "jobs", "succeeded", "failed", "busy", "seconds",
    ]  # fmt: skip
    assert {row.split("│")[1].strip() for row in rows} >= {"deals.import", "events.outbox"}


def test_a_unit_that_fails_for_good_makes_the_exit_code_1(engine: Subprocess, world: World) -> None:
    queue_id = world.submit(SAMPLE, mappings={"Deal Name": "$where"})

    ran = engine("run-once", "deals.import", "--json")

    assert ran.returncode == 1
    printed = json.loads(ran.stdout)
    assert (printed["ok"], printed["sweeps"][0]["failed"]) == (False, 1)
    assert world.import_of(queue_id)["status"] == "failed"


def test_an_unknown_sweep_is_named_together_with_those_there_are(inside: InProcess) -> None:
    ran = inside("run-once", "deals.exports")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("no such sweep: deals.exports; there are deals.import, ")


def test_bad_settings_are_named_one_a_line(inside: InProcess) -> None:
    ran = inside("run-once", PROFILE="fast", HTTP_PORT="0")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert sorted(line.split(":")[0] for line in ran.stderr.splitlines()) == ["HTTP_PORT", "PROFILE"]


@pytest.mark.parametrize(
    ("variable", "url", "server"),
    [("MONGO_URL", f"mongodb://{NOWHERE}/crm", "MongoDB"), ("REDIS_URL", f"redis://:pw@{NOWHERE}/0", "Redis")],
)
def test_a_server_that_is_away_is_named_in_one_line_within_ten_seconds(
    engine: Subprocess, variable: str, url: str, server: str
) -> None:
    started = time.monotonic()

    ran = engine("run-once", "deals.import", **{variable: url})

    assert time.monotonic() - started < 10 * load_factor()
    assert (ran.returncode, ran.stdout) == (3, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"{server} at {variable} does not answer")
    assert "pw" not in line
