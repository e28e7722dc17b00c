"""Works off a batch of claimed enrolments: reads what they need, ends those that cannot go on, and sends the others'
mails, template by template."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.domain.batch_faults import apart, setting_faults_aside
from pipeline_engine.domain.sequences.copies import keep_copies
from pipeline_engine.domain.sequences.load import load
from pipeline_engine.domain.sequences.routes import Routes
from pipeline_engine.domain.sequences.send_steps import Mails, send_steps
from pipeline_engine.domain.sequences.settle import settle
from pipeline_engine.domain.sequences.work import Over, Result, Results, RetryTimes, SendSlice, SequenceEntry
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.lanes.classify_error import brief, expected, where
from pipeline_engine.repos.client import Document, is_away
from pipeline_engine.repos.sequence_enrollments import SEQUENCE_ENROLLMENTS

log = logs.get(__name__)


async def work_off(slice: SendSlice, routes: Routes, claimed: Sequence[Document]) -> None:
    """Send the mails at which these enrolments stand, and release them all.

    Raises: LeaseLost when the lease may have run out; what pymongo raises when MongoDB is away.
    """
    repo = slice.app.repos.sequence_enrollments
    with ExitStack() as held:
        for document in claimed:
            held.enter_context(slice.app.heartbeat.holding(SEQUENCE_ENROLLMENTS, document["_id"]))
        worked = await apart(repo, slice.account_id, claimed)
        async with setting_faults_aside(repo, slice.account_id, worked, "sequence"):
            groups: dict[tuple[str, ObjectId], list[SequenceEntry]] = defaultdict(list)
            for entry in await load(slice, worked):
                groups[str(entry.document["sequence_id"]), entry.step.template_id].append(entry)
            for (_, template_id), entries in groups.items():
                if not slice.app.heartbeat.trusted:
                    raise LeaseLost("the lease may have run out")
                async for results, mails in _send(slice, routes, template_id, entries):
                    await keep_copies(slice, routes, results, mails)
                    await settle(slice, results, mails)


async def _send(
    slice: SendSlice, routes: Routes, template_id: ObjectId, entries: Sequence[SequenceEntry]
) -> AsyncIterator[tuple[Results, Mails]]:
    """As `send_steps`; an error ends or puts off those of the entries whose step had not ended yet."""
    settled: set[Any] = set()
    try:
        async for results, mails in send_steps(slice, routes, template_id, entries):
            settled |= {entry.id for entry, _ in results}
            yield results, mails
    except LeaseLost:
        raise
    except Exception as error:
        if is_away(error):
            raise
        _log(slice, template_id, error)
        retry = RetryTimes(slice.app.clock.now(), slice.app.settings.sequence_retry_seconds)
        yield [(entry, _after(slice, entry, error, retry)) for entry in entries if entry.id not in settled], {}


def _after(slice: SendSlice, entry: SequenceEntry, error: Exception, retry: RetryTimes) -> Result:
    reason = str(error) if expected(error) else brief(error)
    attempts = int(entry.document.get("attempts") or 0) + 1
    if isinstance(error, Permanent) or attempts >= slice.app.settings.sequence_attempts:
        return Over("failed", reason)
    return retry.after(attempts, reason)


def _log(slice: SendSlice, template_id: ObjectId, error: Exception) -> None:
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    ids = {"account_id": str(slice.account_id), "template_id": str(template_id)}
    log.warning("sequence.step_failed", **ids, **facts)
