"""`jobs` and the line of `doctor` about late slots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.jobs.table import JOBS
from tests.support.command_line import CommandLine
from tests.support.contacts import signal
from tests.support.crm_events import contact, contact_of
from tests.support.world import World

OTHERS = ", ".join(job.name for job in JOBS if job.short_name != "intent_decay")


def cells(text: str, word: str) -> list[str]:
    """The cells of the only row of a table that begins with this word."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    (row,) = [row for row in rows if row and row[0].startswith(word)]
    return row


@pytest.mark.covers("CL-31")
def test_a_job_is_run_by_hand_and_shown(engine: CommandLine, world: World) -> None:
    id, other = contact(world), world.neighbour()
    signal(world, id, 50, occurred_at=datetime.now(UTC) - timedelta(days=2))

    ran = engine("jobs", "run", "intent_decay", "--account", world.account)

    assert (ran.returncode, cells(ran.stdout, "crm.intent_decay")[1:6]) == (0, ["1", "1", "1", "0", "0"])
    assert contact_of(world, id)["intent_score"] == 46
    both = engine("jobs", "run", "crm.intent_decay")
    assert cells(both.stdout, "crm.intent_decay")[1:4] == ["2", "2", "2"]
    shown = cells(engine("jobs", "slots", "intent_decay", "--account", world.account, "--limit", 1).stdout, "once:")
    assert shown[1:6] == [str(world.account), "done", "1", "0", "0"]
    assert str(other.account) in engine("jobs", "slots", "crm.intent_decay").stdout
    other.close()


def test_jobs_are_listed_with_what_is_open_and_late(engine: CommandLine, world: World) -> None:
    """Late is only an account that was there when its slot began."""
    old = ObjectId.from_datetime(datetime.now(UTC) - timedelta(days=5))
    world.db["_accounts"].insert_one({"_id": old, "active": True})
    shown = engine("jobs").stdout
    assert cells(shown, "crm.intent_decay")[1:3] == ["02:00, local time", ""]
    assert cells(shown, "crm.intent_decay")[5:7] == ["2", "1"]
    assert cells(shown, "crm.lifecycle")[1] == "every 120 minutes"
    off = engine("jobs", "list", CRM_JOBS_OFF=OTHERS).stdout
    assert cells(off, "crm.lifecycle")[-1] == "switched off by CRM_JOBS_OFF"
    doctor = engine("doctor", CRM_JOBS_OFF=OTHERS).stdout
    assert "crm.intent_decay is late for 1 accounts" in doctor
    assert "lifecycle is late" not in doctor

    today = {(datetime.now(UTC) - timedelta(days=n)).date().isoformat() for n in range(2)}
    world.db["cron_slots"].insert_many(
        [
            {"_id": f"crm.intent_decay:{account}:{day}", "job": "crm.intent_decay", "account_id": account}
            | {"slot": day, "state": "done", "started_at": datetime.now(UTC), "ended_at": datetime.now(UTC)}
            for day in today
            for account in (world.account, old)
        ]
    )
    assert cells(engine("jobs").stdout, "crm.intent_decay")[5:7] == ["0", "0"]
    doctor = engine("doctor", CRM_JOBS_OFF=OTHERS).stdout
    assert "no slot of 1 scheduled jobs is late" in doctor


def test_what_is_no_job_and_no_account(engine: CommandLine, world: World) -> None:
    refused = engine("jobs", "run", "make_coffee")
    assert (refused.returncode, "there are contact_sync, intent_decay" in refused.stderr) == (2, True)
    assert engine("jobs", "slots", "make_coffee").returncode == 2
    nowhere = engine("jobs", "run", "lifecycle", "--account", ObjectId())
    assert (nowhere.returncode, "no active account" in nowhere.stderr) == (1, True)
    skipped = engine("jobs", "run", "lifecycle", CRM_JOBS_OFF="lifecycle")
    assert (skipped.returncode, "switched off by CRM_JOBS_OFF" in skipped.stdout) == (0, True)
    away = engine("jobs", "run", "lifecycle", QM_CRM_JOBS="false")
    assert (away.returncode, "switched off" in away.stdout) == (0, True)
