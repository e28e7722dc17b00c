"""Runs a document under a claim: heartbeat, fencing, errors, attempts, crashes, back-off and the log line.

A system supplies only what happens between the claim and the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bson.errors import InvalidDocument
from pymongo.errors import OperationFailure, PyMongoError

from pipeline_engine import error_reports, logs
from pipeline_engine.app import App
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.lanes.classify_error import brief, expected, full, where
from pipeline_engine.repos.client import Document, is_away
from pipeline_engine.repos.heartbeat import Heartbeat
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.quarantine import is_fault_of_document
from pipeline_engine.repos.too_large import TooLarge

CRASHED = "crashes"
"""The error code of a document whose processes died too often in a row."""
MAX_CRASHES = 3
"""How many processes in a row may die with a document before it is given up, where it alone may be to blame."""
MAX_SHARED_CRASHES = 5
"""The same where a process dies with several documents of a kind, of which at most one is to blame."""

Repo = TypeVar("Repo", bound=Leased)

log = logs.get(__name__)


class Claim(Generic[Repo]):
    """A document that a run holds, as it was after the run's last change.

    Every change is made under the claim's token.
    """

    def __init__(self, repo: Repo, document: Document, heartbeat: Heartbeat) -> None:
        self.repo = repo
        self.document = document
        self._heartbeat = heartbeat

    async def change(self, **values: Any) -> None:
        """Set fields; without any, only check that this run still holds the document. Raises: LeaseLost."""
        self.keep(await self.repo.change(self.document, values))

    async def release(self, **values: Any) -> None:
        """Set fields and release the document, so that the next run can claim it. Raises: LeaseLost."""
        self.keep(await self.repo.release(self.document, values))

    def keep(self, document: Document | None) -> None:
        """Keep the document that an update returned.

        Raises: LeaseLost when it is None, as the update then matched nothing.
        """
        if document is None:
            raise self.lost()
        self.document = document

    def check(self) -> None:
        """Check, before a new effect, that the lease is fresh. Raises: LeaseLost when it may have run out."""
        if not self._heartbeat.trusted:
            raise LeaseLost(f"{self.repo.spec.name} {self.document['_id']}: the lease may have run out")

    def lost(self) -> LeaseLost:
        """The error to raise when another run has claimed the document."""
        return LeaseLost(f"{self.repo.spec.name} {self.document['_id']}: another run has claimed it")


AnyClaim = TypeVar("AnyClaim", bound=Claim[Any])


@dataclass(frozen=True)
class RunFailure:
    """An attempt that ended with an error. `message` may be stored in the document: it contains no secrets."""

    error: Exception
    attempt: int

    @property
    def message(self) -> str:
        return full(self.error)


def is_hopeless(error: Exception) -> bool:
    """Whether another attempt cannot help; so it is for every Permanent error."""
    return isinstance(error, Permanent)


@dataclass(frozen=True)
class ClaimedRun(Generic[AnyClaim]):
    """How to run the documents of one kind.

    `work` does the work. An error is logged as `<noun>.attempt_failed`, and the repo puts the document off for `pause`
    seconds. After `attempts` attempts, or when `is_hopeless` is true of the error, `give_up` ends the document. With
    `attempts` None the lane counts them. A document whose lease ran out `crashes` times in a row goes to `give_up`
    without being worked on.
    """

    noun: str
    work: Callable[[AnyClaim], Awaitable[Outcome | None]]
    give_up: Callable[[AnyClaim, RunFailure], Awaitable[Outcome | None]]
    attempts: int | None
    pause: float = 0.0
    crashes: int | None = None
    is_hopeless: Callable[[Exception], bool] = is_hopeless


async def run_claimed(
    app: App, repo: Leased, id: Any, run: ClaimedRun[AnyClaim], claim_type: Callable[..., AnyClaim]
) -> Outcome | None:
    """Claim the document and run it. Returns None when it is not due, another run holds it, or the work is done.

    Raises: what pymongo raises when MongoDB is away; with `attempts` None also what `work` raised.
    """
    document = await _claim(repo, id)
    if document is None:
        return None
    claim = claim_type(repo, document, app.heartbeat)
    with app.heartbeat.holding(repo.spec, id):
        try:
            _refuse_crashed(run, repo.crashes_of(document))
            return await run.work(claim)
        except LeaseLost:
            return None
        except Exception as error:
            if is_away(error):
                raise
            return await _after_or_set_aside(run, claim, error)


async def _claim(repo: Leased, id: Any) -> Document | None:
    """As `repo.claim`. A document that MongoDB cannot change, because it is too large, say, is set aside."""
    try:
        return await repo.claim(id)
    except (OperationFailure, TooLarge) as error:
        if not blames_document(error):
            raise
        await repo.set_aside(id, f"cannot be claimed: {_reason(error)}")
        return None


def _refuse_crashed(run: ClaimedRun[Any], crashes: int) -> None:
    if run.crashes is not None and crashes >= run.crashes:
        raise Permanent(f"{run.crashes} runs in a row ended in the middle", CRASHED)


async def _after_or_set_aside(run: ClaimedRun[AnyClaim], claim: AnyClaim, failure: Exception) -> Outcome | None:
    """As `_after`. A document that can be neither ended nor put off is set aside, as the next run would fail alike."""
    try:
        return await _after(run, claim, RunFailure(failure, claim.repo.attempt_of(claim.document)))
    except Exception as error:
        if error is failure or not blames_document(error):
            raise
        repo, id = claim.repo, claim.document["_id"]
        await repo.set_aside(id, f"cannot be ended: {_reason(error)}, after: {_reason(failure)}")
    try:
        await repo.release(claim.document)
    except Exception as error:
        if not blames_document(error):
            raise
        log.warning(f"{run.noun}.not_released", id=str(id), error=brief(error), consequence="its lease runs out")
    return None


def _reason(error: Exception) -> str:
    """The error as text, without the server's whole answer."""
    if isinstance(error, OperationFailure):
        return str((error.details or {}).get("errmsg", error.code))
    return full(error)


def blames_document(error: Exception) -> bool:
    """Whether an error comes from what stands in the document: from MongoDB, or unexpectedly from our code."""
    if isinstance(error, PyMongoError):
        return is_fault_of_document(error)
    return isinstance(
        error, (TooLarge, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, InvalidDocument)
    )


async def _after(run: ClaimedRun[AnyClaim], claim: AnyClaim, failure: RunFailure) -> Outcome | None:
    _log(run.noun, claim.document, failure)
    if run.is_hopeless(failure.error) or (run.attempts is not None and failure.attempt >= run.attempts):
        return await run.give_up(claim, failure)
    await claim.repo.put_off(claim.document, run.pause, failure.message)
    if run.attempts is None:
        raise failure.error
    return Snooze(run.pause)


def _log(noun: str, document: Document, failure: RunFailure) -> None:
    # The message of an unexpected exception is not logged: it may quote a cell of a CSV file.
    error = failure.error
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    ids = {"id": str(document["_id"]), "account_id": str(document.get("account_id"))}
    log.warning(f"{noun}.attempt_failed", **ids, attempt=failure.attempt, **facts)
    if not expected(error):
        error_reports.add(error, noun, attempt=failure.attempt)
