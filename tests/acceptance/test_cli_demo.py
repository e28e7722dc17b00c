"""`demo` through the real door."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.command_line import Ran, Subprocess
from tests.support.load import load_factor


@pytest.fixture
def alone(tmp_path: Path) -> Subprocess:
    """A command line that knows no server."""
    return Subprocess({}, tmp_path)


def summary(ran: Ran) -> dict[str, str]:
    pairs = [line.split("  ", 1) for line in ran.stdout.splitlines() if "  " in line]
    return {name: value.strip() for name, value in pairs}


def test_it_runs_everything_without_a_terminal_and_leaves_nothing_behind(alone: Subprocess, tmp_path: Path) -> None:
    started = time.monotonic()

    # Nor does it touch a server that the environment names.
    ran = alone("demo", MONGO_URL="mongodb://127.0.0.1:1/crm", REDIS_URL="redis://127.0.0.1:1/0")

    assert ran.returncode == 0, ran.stderr
    assert time.monotonic() - started < 30 * load_factor()
    figures = summary(ran)
    assert (figures["deals"], figures["errors"]) == ("1,988", "12")
    assert sorted(figures["stages"].split(", ")) == ["closed won", "negotiation", "proposal", "qualified"]
    assert ran.stdout.count("the cell is empty but the field is needed") == 2
    assert ran.stdout.count("cells in the row: 10, columns in the file: 9") == 1
    assert "1 import_finished" in figures["socket events"]
    assert figures["messy file read as"].startswith("Windows-1252 with a semicolon between two cells")
    assert figures["its deals"] == "Bürobedarf Müller 1,234.50, Straßenbau Größe -250.00, Café Français 12,500.00"
    assert figures["copied"] == "5 steps, 5 components, 12 images, 1 forms"
    assert (figures["left"], figures["warnings"]) == ("0 references", "0")
    assert figures["user events"].endswith("funnel_cloning_completed")
    assert float(figures["rows/s"].replace(",", "")) > 0
    assert ".errors-" in figures["error CSV"]
    in_stage = int(figures["deals in 'negotiation'"])
    assert in_stage > 100
    types = ("add_tag", "note", "reminder", "follower", "email", "stage", "mails received")
    assert [int(figures[type]) for type in types] == [in_stage] * len(types)
    names = ("leads", "introduced by mail", "replied", "in 'responded'", "still waiting")
    assert [int(figures[name]) for name in names] == [60, 60, 20, 20, 40]
    assert "when the lead has not replied by email until then" in figures["one of these"]
    names = ("events", "with an owner", "through the workflow", "welcomed by mail", "in the activity log")
    assert [int(figures[name]) for name in names][:4] == [40, 40, 20, 20]
    assert figures["scores"] == "16 for 40"
    assert figures["mails stored"] == "1 auto_reply, 1 bounce, 1 message"
    assert figures["answer without its quote"] == "Yes, please call me on Monday."
    assert figures["the lead who answered"] == "completed in 'responded'"
    assert figures["the lead who is away"] == "active in 'introduced'"
    assert figures["the lead without mailbox"] == "cancelled in 'introduced': bounced"
    assert figures["suppressed"] == "lead58@company.example (hard_bounce)"
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_its_data_can_be_kept(alone: Subprocess, tmp_path: Path) -> None:
    ran = alone("demo", "--keep")

    assert ran.returncode == 0, ran.stderr
    (kept,) = tmp_path.iterdir()
    assert ran.stdout.splitlines()[-1] == f"The servers' data are kept in {kept}"
    assert any(kept.rglob("*.wt"))
