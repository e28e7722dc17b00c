"""Deal import: deals from CSV files in S3."""

from __future__ import annotations

from pipeline_engine.domain.imports import sweep
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.jobs import IMPORT, ROWS
from pipeline_engine.domain.imports.plan import run_import
from pipeline_engine.domain.imports.rows import run_chunk
from pipeline_engine.repos.import_repos import IMPORT_COLLECTIONS, ImportRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

SYSTEM = System(
    name="deal import",
    switch="QM_DEALS",
    collections=IMPORT_COLLECTIONS,
    open_repos=ImportRepos.open,
    handlers={IMPORT: run_import, ROWS: run_chunk},
    new_cache=lambda _settings: ImportCache(),
    sweeps=(
        Sweep(
            "deals.import",
            every=lambda settings: settings.import_sweep_seconds,
            find=sweep.find,
            outcomes=sweep.outcomes,
            count_claimed=sweep.count_claimed,
            watches=frozenset({"queues"}),
        ),
    ),
    demo="pipeline_engine.cli.demo.deal_import",
    triggers={"/api/trigger/deals/import": "deals.import"},
)
