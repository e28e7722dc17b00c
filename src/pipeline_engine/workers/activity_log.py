"""The activity log: who did what to what, from consumed events."""

from __future__ import annotations

from pipeline_engine.domain.activity_log import write
from pipeline_engine.domain.events.jobs import LOG, tune
from pipeline_engine.repos.activity_log import ACTIVITY_COLLECTIONS, ActivityRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="activity log",
    switch="QM_EVENTS",
    collections=ACTIVITY_COLLECTIONS,
    open_repos=ActivityRepos.open,
    handlers={LOG: write.run_log},
    sweeps=(
        Sweep(
            "events.activity_log",
            every=lambda settings: settings.event_sweep_seconds,
            find=write.find,
            find_due_now=write.find_due_now,
            find_abandoned=write.find,
            outcomes=write.outcomes,
            joins="events.outbox",
        ),
    ),
    tune=tune,
)
