"""Webhooks: consumed events posted to the endpoints of tenants, signed, until they are accepted."""

from __future__ import annotations

from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.events.jobs import FAN_OUT, POST
from pipeline_engine.domain.webhooks import sweep
from pipeline_engine.domain.webhooks.fan_out import run_fan_out
from pipeline_engine.domain.webhooks.post import run_post
from pipeline_engine.repos.webhook_repos import WEBHOOK_COLLECTIONS, WebhookRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

MAX_OF_ACCOUNT = 5
"""Half of the lane's places."""

SYSTEM = System(
    name="webhooks",
    switch="QM_EVENTS",
    collections=WEBHOOK_COLLECTIONS,
    open_repos=WebhookRepos.open,
    handlers={FAN_OUT: run_fan_out, POST: run_post},
    new_cache=lambda _settings: AccountPlaces(MAX_OF_ACCOUNT),
    sweeps=(
        Sweep(
            "events.webhooks",
            every=lambda settings: settings.webhooks_sweep_seconds,
            find=sweep.find,
            find_due_now=sweep.find_due_now,
            find_abandoned=sweep.find_abandoned,
            outcomes=sweep.outcomes,
            watches=frozenset(("webhooks", "webhook_deliveries")),
            joins="events.outbox",
        ),
    ),
)
