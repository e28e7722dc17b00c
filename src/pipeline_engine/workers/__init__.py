"""The systems of this engine, one row each.

All other modules read `SYSTEMS` at the time of use, so a system that is added here is known everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipeline_engine.app import App, connect_app
from pipeline_engine.lanes import Lane
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.shared_repos import SHARED_COLLECTIONS
from pipeline_engine.settings import Settings
from pipeline_engine.workers import (
    activity_log,
    automations,
    crm_events,
    crm_jobs,
    events,
    funnels,
    imports,
    leads,
    mailboxes,
    sequences,
    webhooks,
    workflows,
)
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEMS: tuple[System[Any], ...] = (
    imports.SYSTEM,
    automations.SYSTEM,
    funnels.SYSTEM,
    leads.SYSTEM,
    events.SYSTEM,
    crm_events.SYSTEM,
    activity_log.SYSTEM,
    workflows.SYSTEM,
    webhooks.SYSTEM,
    crm_jobs.SYSTEM,
    mailboxes.SYSTEM,
    sequences.SYSTEM,
)


def enabled(settings: Settings) -> list[System[Any]]:
    """The systems that the settings switch on."""
    return [system for system in SYSTEMS if system.enabled(settings)]


def lanes() -> dict[str, Lane]:
    """Every lane of every system, by name."""
    return {lane.name: lane for system in SYSTEMS for lane in system.lanes}


def sweeps() -> dict[str, tuple[System[Any], Sweep[Any]]]:
    """Every sweep of every system, by name."""
    return {sweep.name: (system, sweep) for system in SYSTEMS for sweep in system.sweeps}


def group(name: str, settings: Settings) -> list[tuple[System[Any], Sweep[Any]]]:
    """The sweep of this name and those of enabled systems that join it: what `run-once` runs under the name."""
    joined = [one for one in sweeps().values() if one[1].joins == name and one[0].enabled(settings)]
    return [sweeps()[name], *joined]


def collections(settings: Settings) -> tuple[CollectionSpec, ...]:
    """The collections of the systems that are switched on, and those that systems share, each once."""
    own = [spec for system in enabled(settings) for spec in system.collections]
    return tuple(dict.fromkeys([*own, *SHARED_COLLECTIONS]))


@asynccontextmanager
async def open_app(settings: Settings, lane_prefix: str | None = None) -> AsyncIterator[App]:
    """The app with the collections of the enabled systems. Raises: as `connect_app`."""
    async with connect_app(settings, collections(settings), lane_prefix) as app:
        yield app
