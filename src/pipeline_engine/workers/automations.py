"""Deal automations: actions on the deals in a pipeline stage."""

from __future__ import annotations

from pipeline_engine.domain.automations import opt_out, sweep
from pipeline_engine.domain.automations.jobs import SLICE
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.repos.automation_repos import AUTOMATION_COLLECTIONS, AutomationRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="deal automations",
    switch="QM_DEALS_AUTOMATIONS",
    collections=AUTOMATION_COLLECTIONS,
    open_repos=AutomationRepos.open,
    handlers=dict.fromkeys(SLICE.values(), run_slice),
    sweeps=(
        Sweep(
            "deals.automations",
            every=lambda settings: settings.automation_sweep_seconds,
            find=sweep.find,
            find_due_in=sweep.find_due_in,
            find_abandoned=sweep.find_abandoned,
            outcomes=sweep.outcomes,
            watches=frozenset({"automations", "deals", "import_chunks"}),
        ),
    ),
    on_opt_out=opt_out.cancel,
    demo="pipeline_engine.cli.demo.automations",
    triggers={"/api/trigger/deals/automations": "deals.automations"},
)
