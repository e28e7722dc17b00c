"""`explain` reads well: the verdict first, in one sentence, and no double negative in what follows."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.cli.explain_words import LOOKED_AT, findings, verdict
from pipeline_engine.domain.explanation import Condition, Next
from tests.support.command_line import InProcess
from tests.support.world import World

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEGATED = re.compile(r"(?m)^\W*(no|not|has not|is not|fewer than)\b.*\b(no|not|NO)\b")


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> InProcess:
    return InProcess(environment, tmp_path)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (
            Next("fires", NOW, "when the delay is over"),
            "It will fire at 2026-01-02 03:04:05 UTC, when the delay is over.",
        ),
        (Next("waits", None, "for its account to be active"), "It waits for its account to be active."),
        (Next("fails", None, "the next run refuses it"), "It will fail: the next run refuses it."),
        (Next("ends", None, "as cancelled"), "It will end as cancelled."),
        (Next("never", None, "it has fired"), "It will not go on: it has fired."),
    ],
)
def test_a_verdict_is_a_sentence(then: Next, said: str) -> None:
    assert verdict("It", then) == said


def test_what_was_looked_at_is_named_without_a_judgement() -> None:
    assert not [one for one in LOOKED_AT.values() if re.match(r"(no|not|is|has)\b", one)]
    stops = Condition("not in automation_triggered", "named", False, Next("never", None, ""))
    crowd = Condition("fewer than 3 processes died on it", 2, True)
    assert list(findings([stops, crowd])) == [
        ("in automation_triggered", "named", "rules it out"),
        ("processes died on it", 2, "fine"),
    ]


@pytest.mark.parametrize(
    ("automation", "deal", "begins"),
    [
        ({}, {}, "This automation will fire at "),
        ({}, {"automation_triggered": "it"}, "This automation will not fire for this deal: it has fired"),
        ({"status": "INACTIVE"}, {}, "This automation waits for a user to switch the automation on."),
        ({"delay": 86_000}, {}, "This automation will fire at "),
        ({"type": "fax"}, {}, "This automation will not fire for this deal: this engine knows no automation"),
        ({"paused_until": datetime.now(UTC) + timedelta(hours=1)}, {}, "This automation will fire at "),
    ],
)
def test_an_automation(
    command: InProcess, world: World, automation: dict[str, Any], deal: dict[str, Any], begins: str
) -> None:
    id = world.automation(**{"type": "add_tag", "tag": ObjectId(), **automation})
    of = world.deal(**{name: [id] for name in deal})
    words = ("explain", "automation", id, "--deal", of)
    ran = command(*words)
    assert ran.stdout.startswith(begins)
    assert not NEGATED.search(ran.stdout)
    assert " NO" not in ran.stdout
    found = json.loads(command(*words, "--json").stdout)
    assert set(found) == {"automation", "type", "deal", "conditions", "history", "next"}
    assert set(found["conditions"][0]) == {"name", "value", "passed", "otherwise"}


@pytest.mark.parametrize(
    ("queue", "begins"),
    [
        ({}, "This import will run at "),
        ({"status": "completed", "completed_at": NOW}, "This import has ended: it is completed at 2026-01-02"),
        ({"status": "failed", "error": "bad file"}, "This import has ended: it is failed: bad file"),
        ({"cancel_requested": True}, "This import will end as cancelled"),
        ({"csv": []}, "This import will fail: the next run refuses it"),
    ],
)
def test_an_import(command: InProcess, world: World, queue: dict[str, Any], begins: str) -> None:
    ran = command("explain", "import", world.queue("imports/a.csv", **queue))
    assert ran.stdout.startswith(begins)
    assert not NEGATED.search(ran.stdout)
    assert " NO" not in ran.stdout
