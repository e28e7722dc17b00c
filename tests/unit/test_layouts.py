"""The layouts and profiles of docs/operations.md are made of settings that exist, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline_engine import settings, workers
from pipeline_engine.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SWITCHES = [name for name in Settings.model_fields if name.startswith("qm_") and name != "qm_hooks"]
CLASSES = re.findall(r"^  (\w+):\n    environment: \{(.*)\}$", PAGE, re.MULTILINE)


def settings_of(text: str) -> Settings:
    given = {name.lower(): value for name, value in re.findall(r'(QM_\w+): "(\w+)"', text)}
    return settings.load(_env_file=None, **given)


def lanes_of(configured: Settings) -> set[str]:
    return {lane.name for system in workers.enabled(configured) for lane in system.lanes}


def test_every_variable_of_an_example_is_a_setting() -> None:
    text = "\n".join(body for _, body in BLOCKS)
    named = set(re.findall(r"\b([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)\b(?=[:=])", text))
    assert {"MONGO_URL", "QM_EVENTS", "LEASE_SECONDS"} <= named
    assert named <= {name.upper() for name in Settings.model_fields}


@pytest.mark.covers("CL-06")
def test_the_production_profile_of_the_seed_is_accepted() -> None:
    (body,) = [body for kind, body in BLOCKS if kind == "sh" and "QUEUE_CONCURRENCY" in body]
    values = dict(line.split("=") for line in body.splitlines())
    configured = settings.load(_env_file=None, **{name.lower(): value for name, value in values.items()})
    assert (configured.queue_concurrency, configured.lease_seconds) == (10, 30)


@pytest.mark.covers("CL-12", "CL-31")
@pytest.mark.parametrize("switch", SWITCHES)
def test_a_daemon_of_one_class_opens_the_lanes_of_that_class_only(switch: str) -> None:
    alone = settings.load(_env_file=None, **{name: name == switch for name in SWITCHES})
    for system in workers.SYSTEMS:
        mine = not system.switch or system.switch.lower() == switch
        assert {lane.name for lane in system.lanes} & lanes_of(alone) == (
            {lane.name for lane in system.lanes} if mine else set()
        )


@pytest.mark.covers("CL-12")
def test_the_daemons_of_the_page_open_every_lane_and_share_only_what_is_always_on() -> None:
    daemons = {name: lanes_of(settings_of(switches)) for name, switches in CLASSES}
    assert len(daemons) == 3
    assert set().union(*daemons.values()) == set(workers.lanes())
    always = {lane.name for system in workers.SYSTEMS if not system.switch for lane in system.lanes}
    one, two, three = daemons.values()
    assert one & two == one & three == two & three == always
