"""Looks for missing indexes while the daemon runs: a collection that is dropped and restored comes back without."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.repos.indexes import IndexProblem, create_indexes, missing_indexes
from pipeline_engine.wake_up import WakeUp

CHECK_SECONDS = 60.0

log = logs.get(__name__)


async def keep_indexes(app: App, wake_up: WakeUp) -> None:
    """Create missing indexes at each wake-up and every minute, until cancelled. Raises PyMongoError.

    What stands in the way of one is logged when it is seen first, and what has changed since.
    """
    logged: frozenset[IndexProblem] = frozenset()
    while True:
        await wake_up.wait(CHECK_SECONDS)
        missing = await missing_indexes(app.database, app.collections)
        problems = (await create_indexes(app.database, app.collections)).problems if missing else []
        log_problems(set(problems) - logged)
        refused = {f"{problem.collection}.{problem.index}" for problem in problems}
        if created := [name for name in missing if name not in refused]:
            log.info("indexes.created", indexes=created)
        logged = frozenset(problems)


def log_problems(problems: Iterable[IndexProblem]) -> None:
    """One line for each index that the server does not create."""
    for problem in problems:
        log.error("index.not_created", collection=problem.collection, index=problem.index, reason=problem.reason)
