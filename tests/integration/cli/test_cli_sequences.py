"""Sequences from the command line: `jobs list`, `jobs run sequence_email` and `explain sequence`."""

from __future__ import annotations

import json

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.sequences import enroll, enrollment, sequence
from tests.support.world import World


def cells(text: str, word: str) -> list[str]:
    """The cells of the only row of a table that begins with this word."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    (row,) = [row for row in rows if row and row[0].startswith(word)]
    return row


@pytest.mark.covers("CL-26")
def test_the_job_stands_in_the_timetable_and_is_run_by_hand(engine: CommandLine, world: World) -> None:
    one = enroll(world, sequence(world, 0))
    shown = cells(engine("jobs").stdout, "crm.sequence_email")
    assert (shown[1], shown[5]) == ("every 5 minutes", "1")
    off = cells(engine("jobs", "list", CRM_JOBS_OFF="sequence_email").stdout, "crm.sequence_email")
    assert off[-1] == "switched off by CRM_JOBS_OFF"
    assert engine("jobs", "slots", "sequence_email").returncode == 2

    ran = engine("jobs", "run", "sequence_email")

    assert cells(ran.stdout, "crm.sequence_email")[1:3] == ["1", "1"]
    assert (ran.returncode, enrollment(world, one)["status"]) == (0, "completed")


def test_an_enrolment_is_explained(engine: CommandLine, world: World) -> None:
    id = sequence(world, 0, 60)
    one, ended = enroll(world, id), enroll(world, id, status="replied", reason="email.replied")
    said = engine("explain", "sequence", one).stdout
    assert "This enrolment will run at" in said
    assert "mail 1 of 2" in said
    assert "the contact replied" in engine("explain", "sequence", ended).stdout
    world.db["sequences"].update_one({"_id": id}, {"$set": {"active": False}})
    found = json.loads(engine("explain", "sequence", one, "--json").stdout)
    assert (found["next"]["what"], found["step"]) == ("waits", "mail 1 of 2")
    assert engine("explain", "sequence", ObjectId()).returncode == 1
