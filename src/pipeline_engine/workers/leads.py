"""Lead pipelines: the actions of a stage, one after the other, on every lead that enters it."""

from __future__ import annotations

from pipeline_engine.domain.leads import opt_out, run, sweep
from pipeline_engine.domain.leads.exits import run_exits
from pipeline_engine.domain.leads.jobs import EMAIL, ENTER, EXITS, INTERNAL, SMS
from pipeline_engine.domain.leads.turns import Turns
from pipeline_engine.repos.lead_repos import LEAD_COLLECTIONS, LeadRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="lead pipelines",
    switch="QM_LEADS",
    collections=LEAD_COLLECTIONS,
    open_repos=LeadRepos.open,
    handlers={
        ENTER: run.run_enter,
        INTERNAL: run.run_internal,
        EMAIL: run.run_email,
        SMS: run.run_sms,
        EXITS: run_exits,
    },
    new_cache=lambda _settings: Turns(),
    sweeps=(
        Sweep(
            "leads.actions",
            every=lambda settings: settings.leads_sweep_seconds,
            find=sweep.find,
            find_due_now=sweep.find_due_now,
            find_abandoned=sweep.find_abandoned,
            outcomes=sweep.outcomes,
            watches=frozenset(spec.name for spec in LEAD_COLLECTIONS if spec.wakes),
        ),
    ),
    on_opt_out=opt_out.cancel,
    demo="pipeline_engine.cli.demo.lead_pipeline",
    triggers={"/api/trigger/leads": "leads.actions"},
)
