"""Sequences: e-mails to enrolled contacts, one after the other, until they answer or have had them all."""

from __future__ import annotations

from pipeline_engine.domain.sequences import control, opt_out, run, sweep
from pipeline_engine.domain.sequences.jobs import RETRY, SEND
from pipeline_engine.providers.public_host import PublicHosts
from pipeline_engine.repos.sequence_enrollments import SEQUENCE_ENROLLMENTS
from pipeline_engine.repos.sequence_repos import SEQUENCE_COLLECTIONS, SequenceRepos
from pipeline_engine.repos.sequences import SEQUENCES
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="sequences",
    switch="QM_CRM_JOBS",
    collections=SEQUENCE_COLLECTIONS,
    open_repos=SequenceRepos.open,
    handlers={SEND: run.run_sequences, RETRY: control.run_retry},
    sweeps=(
        Sweep(
            sweep.NAME,
            every=lambda settings: settings.sequence_sweep_seconds,
            find=sweep.find,
            find_due_now=sweep.find_due_now,
            find_abandoned=sweep.find_abandoned,
            outcomes=sweep.outcomes,
            skipped=sweep.skipped,
            watches=frozenset({SEQUENCES.name, SEQUENCE_ENROLLMENTS.name}),
        ),
    ),
    on_opt_out=opt_out.cancel,
    demo="pipeline_engine.cli.demo.mail_sequence",
    new_cache=lambda settings: PublicHosts(settings.allow_private_hosts),
)
