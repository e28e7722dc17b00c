"""Events: published to the CRM (`crm_events`) and delivered to users over the socket service."""

from __future__ import annotations

from pipeline_engine.domain.events import relay
from pipeline_engine.domain.events.jobs import DELIVER, RELAY
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.events import OUTBOX
from pipeline_engine.repos.shared_repos import SharedRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="events",
    switch="",
    collections=(CRM_EVENTS, OUTBOX),
    open_repos=SharedRepos.open,
    handlers={RELAY: relay.run_relay, DELIVER: relay.run_delivery},
    new_cache=lambda _settings: set[str](),
    sweeps=(
        Sweep(
            "events.outbox",
            every=lambda settings: settings.outbox_sweep_seconds,
            find=relay.find,
            outcomes=relay.outcomes,
            watches=frozenset({"outbox"}),
            carries_events=True,
        ),
    ),
)
