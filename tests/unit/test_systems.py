"""The declarations of the systems fit together, and no system knows another."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline_engine
from pipeline_engine import settings, workers
from pipeline_engine.repos.shared_repos import SHARED_COLLECTIONS
from pipeline_engine.workers.system import System

DOMAIN = Path(inspect.getfile(pipeline_engine)).parent / "domain"
SHARED = {"messages", "events"}
"""Rooms of the domain through which systems meet."""

each_system = pytest.mark.parametrize("system", workers.SYSTEMS, ids=lambda system: system.name)


def folder_of(system: System[Any]) -> str:
    """The folder of the domain in which the system's jobs are done."""
    (folder,) = {run.__module__.split(".")[2] for run in system.handlers.values()}
    return str(folder)


def imported(folder: str) -> Iterator[str]:
    """The folders of the domain that the modules of one folder import."""
    for file in (DOMAIN / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipeline_engine.domain"):
                parts = node.module.split(".")
                yield from [parts[2]] if len(parts) > 2 else (name.name for name in node.names)


@each_system
def test_a_system_imports_no_other_system(system: System[Any]) -> None:
    others = {folder_of(other) for other in workers.SYSTEMS} - {folder_of(system)} - SHARED
    assert not others & set(imported(folder_of(system)))


def test_what_systems_share_imports_none_of_them() -> None:
    systems = {folder_of(system) for system in workers.SYSTEMS} - SHARED
    for room in SHARED:
        assert not systems & set(imported(room)), room


def test_names_of_systems_sweeps_lanes_and_triggers_are_unique() -> None:
    names = Counter(system.name for system in workers.SYSTEMS)
    sweeps = Counter(sweep.name for system in workers.SYSTEMS for sweep in system.sweeps)
    lanes = Counter(lane.name for system in workers.SYSTEMS for lane in system.lanes)
    paths = Counter(path for system in workers.SYSTEMS for path in system.triggers)
    assert {*names.values(), *sweeps.values(), *lanes.values(), *paths.values()} == {1}


@each_system
def test_what_a_sweep_watches_is_a_collection_that_wakes(system: System[Any]) -> None:
    waking = {spec.name for spec in system.collections if spec.wakes}
    assert {name for sweep in system.sweeps for name in sweep.watches} <= waking


@each_system
def test_a_trigger_names_a_sweep_of_its_system(system: System[Any]) -> None:
    assert set(system.triggers.values()) <= {sweep.name for sweep in system.sweeps}


@each_system
def test_a_system_that_is_switched_off_brings_no_collection_of_its_own(system: System[Any]) -> None:
    if not system.switch:
        return
    off = settings.load(_env_file=None, **{system.switch.lower(): False})

    assert system not in workers.enabled(off)
    others = {spec for other in workers.enabled(off) for spec in other.collections}
    own = set(system.collections) - others - set(SHARED_COLLECTIONS)
    assert not own & set(workers.collections(off))
