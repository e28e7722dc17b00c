"""Workflows: consumed events enrol contacts, who then go from step to step."""

from __future__ import annotations

from pipeline_engine.domain.events.jobs import ENROLL, RETRY_ENROLLMENT, STEP, tune
from pipeline_engine.domain.workflows import control, enroll, opt_out, run, sweep
from pipeline_engine.repos.enrollments import ENROLLMENTS
from pipeline_engine.repos.workflow_repos import WORKFLOW_COLLECTIONS, WorkflowRepos
from pipeline_engine.repos.workflows import WORKFLOWS
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="workflows",
    switch="QM_EVENTS",
    collections=WORKFLOW_COLLECTIONS,
    open_repos=WorkflowRepos.open,
    handlers={ENROLL: enroll.run_enroll, STEP: run.run_steps, RETRY_ENROLLMENT: control.run_retry},
    sweeps=(
        Sweep(
            "events.workflows",
            every=lambda settings: settings.event_sweep_seconds,
            find=sweep.find,
            find_due_now=sweep.find_due_now,
            find_abandoned=sweep.find_abandoned,
            outcomes=sweep.outcomes,
            watches=frozenset({WORKFLOWS.name, ENROLLMENTS.name}),
            joins="events.outbox",
        ),
    ),
    tune=tune,
    on_opt_out=opt_out.cancel,
)
