"""What an operator decides about jobs that were given up: retry or discard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import NewJob


async def retry(app: App, letter_id: ObjectId) -> None:
    """Put the job back into its lane under an id of its own, so that its attempts begin anew.

    The job is enqueued before the letter is marked. A crash in between leaves a dead letter that can be retried again;
    the lane refuses the same id while the job waits or runs.

    Raises: Permanent `not_found` or `settled`; Unreachable when Redis is away.
    """
    letter = await _dead(app, letter_id)
    job = NewJob(letter["function"], tuple(letter["args"]), letter.get("kwargs", {}), id=f"retry:{letter_id}")
    await app.queue.enqueue_many(letter["lane"], [job])
    await app.shared.job_store.mark(letter_id, "retried")


async def discard(app: App, letter_id: ObjectId) -> None:
    """Mark the letter as discarded, so that its job never runs again. Raises: Permanent `not_found` or `settled`."""
    await _dead(app, letter_id)
    await app.shared.job_store.mark(letter_id, "discarded")


async def _dead(app: App, letter_id: ObjectId) -> Mapping[str, Any]:
    letter = await app.shared.job_store.letter(letter_id)
    if letter is None:
        raise Permanent(f"there is no dead letter {letter_id}", "not_found")
    if letter["status"] != "dead":
        raise Permanent(f"the dead letter {letter_id} was {letter['status']} already", "settled")
    return letter
