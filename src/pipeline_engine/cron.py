"""The timetable: one row per sweep, in clock order. arq's cron only pokes; the sweep itself is a supervised loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arq.cron import CronJob, cron

from pipeline_engine.app import App
from pipeline_engine.domain.automations import sweep as automations
from pipeline_engine.domain.events import relay
from pipeline_engine.domain.funnels import sweep as funnels
from pipeline_engine.domain.imports import sweep as imports
from pipeline_engine.domain.unit import Unit
from pipeline_engine.settings import Settings

Pokes = Mapping[str, Callable[[], None]]


async def _nobody(_app: App) -> int:
    return 0


@dataclass(frozen=True)
class Sweep:
    """How one system finds its due work."""

    name: str
    every: Callable[[Settings], float]
    """Seconds between two looks when nothing pokes it."""
    enabled: Callable[[Settings], bool]
    find: Callable[[App], Awaitable[Sequence[Unit]]]
    """Dispatchable units of due work; what needs no lane is done on the spot."""
    outcomes: Callable[[App, Sequence[str]], Awaitable[Mapping[str, str]]]
    """{unit id: succeeded|failed|busy} of units found before."""
    watches: frozenset[str] = frozenset()
    """Collections whose changes make this sweep due."""
    near: Callable[[App, Collection[Any]], Awaitable[Sequence[Unit]]] | None = None
    """`find`, only for the places (stages) of which the change stream told."""
    held: Callable[[App], Awaitable[int]] = _nobody
    """How many due units somebody is at work on, so that `find` leaves them out."""
    begun: Callable[[App], Awaitable[Sequence[Unit]]] | None = None
    """Units that a run has begun and nobody holds, cheaply found: looked for at every heartbeat. Needed by sweeps that
    look seldom: a vanished run must not wait for them."""
    find_all: Callable[[App], Awaitable[Sequence[Unit]]] | None = None
    """What run-once looks for instead, when `find` leaves out what only rests: somebody has asked for it."""


TIMETABLE: tuple[Sweep, ...] = (
    Sweep(
        "deals.import",
        every=lambda settings: settings.import_sweep_seconds,
        enabled=lambda settings: settings.qm_deals,
        find=imports.find,
        outcomes=imports.outcomes,
        held=imports.held,
        watches=frozenset({"queues"}),
    ),
    Sweep(
        "deals.automations",
        every=lambda settings: settings.automation_sweep_seconds,
        enabled=lambda settings: settings.qm_deals_automations,
        find=automations.find,
        near=automations.near,
        outcomes=automations.outcomes,
        watches=frozenset({"automations", "deals", "import_chunks"}),
        begun=automations.begun,
    ),
    Sweep(
        "funnels.clone",
        every=lambda settings: settings.funnel_sweep_seconds,
        enabled=lambda settings: settings.qm_funnels_clone,
        find=funnels.find,
        outcomes=funnels.outcomes,
        held=funnels.held,
        watches=frozenset({"funnels"}),
        begun=funnels.begun,
        find_all=funnels.find_all,
    ),
    Sweep(
        "events.outbox",
        every=lambda settings: settings.outbox_sweep_seconds,
        enabled=lambda settings: True,
        find=relay.find,
        outcomes=relay.outcomes,
        watches=frozenset({"outbox"}),
    ),
)


def cron_jobs(sweeps: Sequence[Sweep], settings: Settings, pokes: Pokes) -> list[CronJob]:
    """One arq cron job per sweep that pokes it and returns at once."""
    return [cron(_poker(sweep, pokes), **_times(sweep.every(settings)), **PRIVATE) for sweep in sweeps]


# Unique jobs would need Redis to remember ids for a minute, which a sweep every five seconds does not survive.
PRIVATE: dict[str, Any] = {"unique": False, "keep_result": 0, "timeout": 10}


def _poker(sweep: Sweep, pokes: Pokes) -> Any:
    async def poke(_context: dict[Any, Any]) -> None:
        pokes[sweep.name]()

    poke.__qualname__ = f"poke {sweep.name}"
    return poke


def _times(every: float) -> dict[str, Any]:
    """arq's clock fields for "about every so many seconds", at most once an hour."""
    seconds = max(1, round(every))
    if seconds < 60:
        return {"second": set(range(0, 60, seconds))}
    return {"second": {0}, "minute": set(range(0, 60, min(60, seconds // 60)))}
