"""The jobs of deal import and their lanes."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.lanes import Backoff, JobKind, Lane

# A run of an import streams a whole file under a lease that it renews; hence its time-out. Documents count crashes.
IMPORT = JobKind(
    "import.plan", Lane("deals.import", 3, Backoff.fixed(4), timeout=6 * 3600, crashes=None), ObjectId, "queues"
)
ROWS = JobKind(
    "import.rows", Lane("deals.import.rows", 8, Backoff.fixed(4), timeout=300, crashes=None), str, "import_chunks"
)
