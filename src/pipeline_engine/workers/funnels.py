"""Funnel cloning, in two tiers: one job plans the clone, then one job per step clones it."""

from __future__ import annotations

from pipeline_engine.domain.funnels import sweep
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.jobs import CLONE, END, STEP
from pipeline_engine.domain.funnels.plan import run_plan
from pipeline_engine.domain.funnels.step import run_end, run_step
from pipeline_engine.repos.funnel_repos import FUNNEL_COLLECTIONS, FunnelRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="funnel cloning",
    switch="QM_FUNNELS_CLONE",
    collections=FUNNEL_COLLECTIONS,
    open_repos=FunnelRepos.open,
    handlers={CLONE: run_plan, STEP: run_step, END: run_end},
    new_cache=lambda settings: CloneCache(settings.clone_copies),
    sweeps=(
        Sweep(
            "funnels.clone",
            every=lambda settings: settings.funnel_sweep_seconds,
            find=sweep.find,
            find_due_now=sweep.find_due_now,
            find_abandoned=sweep.find_abandoned,
            outcomes=sweep.outcomes,
            count_claimed=sweep.count_claimed,
            watches=frozenset({"funnels"}),
        ),
    ),
    demo="pipeline_engine.cli.demo.funnel_clone",
    triggers={"/api/trigger/funnels/funnelClone": "funnels.clone"},
)
