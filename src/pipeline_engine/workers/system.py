"""The declaration of a system: everything that the rest of the engine has to know about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipeline_engine.app import App
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.lanes import JobKind, Lane, Outcome
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.store import Store
from pipeline_engine.settings import Settings
from pipeline_engine.workers.sweep import Sweep

Repos = TypeVar("Repos")


def no_cache(_settings: Settings) -> None:
    """The cache of a system that keeps nothing between jobs."""


def as_declared(lane: Lane, _settings: Settings) -> Lane:
    """The lane as it is: no setting changes it."""
    return lane


@dataclass(frozen=True)
class System(Generic[Repos]):
    """A system of the CRM. Timetable, engine, watcher, run-once, queues, triggers, metrics, doctor and demo loop over
    these."""

    name: str
    switch: str
    """The setting that switches the system on, as in the environment (`QM_DEALS`); empty: it is always on."""
    collections: tuple[CollectionSpec, ...]
    open_repos: Callable[[Store], Repos]
    handlers: Mapping[JobKind[Any], Callable[[App[Repos], Any, Any], Awaitable[Outcome | None]]]
    """{kind of job: its function}, which takes the app with this system's repos, the process cache and the unit's
    id."""
    sweeps: tuple[Sweep[Repos], ...]
    new_cache: Callable[[Settings], object] = no_cache
    """Makes the cache that one process keeps between jobs."""
    triggers: Mapping[str, str] = field(default_factory=dict)
    """{HTTP path: name of the sweep that a POST wakes}."""
    tune: Callable[[Lane, Settings], Lane] = as_declared
    """Gives a lane the places and the rate that the settings name."""
    on_opt_out: Callable[[App[Repos], OptOut], Awaitable[int]] | None = None
    """Cancels what the system has scheduled for a person who wants no more messages; returns how much that was."""
    demo: str = ""
    """The module of its part in the demo; only the demo imports it."""

    def enabled(self, settings: Settings) -> bool:
        """Whether the settings switch the system on."""
        return not self.switch or bool(getattr(settings, self.switch.lower()))

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes of its jobs, each once."""
        return tuple({kind.lane.name: kind.lane for kind in self.handlers}.values())
