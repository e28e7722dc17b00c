"""The table of automation types against the folder, the lanes and the switch."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_engine import settings, workers
from pipeline_engine.domain.automations import actions
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.lanes import Backoff
from pipeline_engine.run_once import chosen

TYPES = (
    *("add_tag", "remove_tag", "email", "sms", "note", "reminder"),
    *("owner", "follower", "stage", "instareport", "instasite"),
)


@pytest.mark.covers("DA-03")
def test_every_type_is_one_file_and_one_row() -> None:
    (folder,) = actions.__path__
    files = {file.stem for file in Path(folder).glob("*.py")} - {"__init__", "table"}

    assert set(ACTIONS) == files == set(TYPES)


@pytest.mark.covers("DA-04", "DA-14")
def test_every_type_has_a_lane_of_its_own() -> None:
    lanes = [workers.lanes()[f"deals.automations.{type}"] for type in TYPES]

    assert {(lane.attempts, lane.backoff) for lane in lanes} == {(3, Backoff.fixed(4))}


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.covers("DA-02")
def test_a_switch_turns_automations_off(on: bool) -> None:
    given = settings.load(qm_deals_automations=on)

    assert ("deals.automations" in chosen([], given)) is on
