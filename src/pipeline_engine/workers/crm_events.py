"""Consuming CRM events: scores, owners, welcome e-mails, sequences and timelines follow from them."""

from __future__ import annotations

from pipeline_engine.domain.consumers import burial, consume, sweep
from pipeline_engine.domain.consumers.reactions import enrollments
from pipeline_engine.domain.events.jobs import CONSUME, RETRY, tune
from pipeline_engine.repos.consumer_repos import CONSUMER_COLLECTIONS, ConsumerRepos
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="CRM events",
    switch="QM_EVENTS",
    collections=CONSUMER_COLLECTIONS,
    open_repos=ConsumerRepos.open,
    handlers={CONSUME: consume.run_consume, RETRY: burial.run_retry},
    sweeps=(
        Sweep(
            "events.consumers",
            every=lambda settings: settings.event_sweep_seconds,
            find=sweep.find,
            find_due_now=sweep.find_due_now,
            find_abandoned=sweep.find,
            outcomes=sweep.outcomes,
            watches=frozenset({CRM_EVENTS.name}),
            joins="events.outbox",
        ),
    ),
    tune=tune,
    on_opt_out=enrollments.cancel,
    demo="pipeline_engine.cli.demo.crm_events",
)
