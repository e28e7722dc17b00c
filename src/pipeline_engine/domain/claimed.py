"""The one way to run a claimed document: claim, heartbeat, fencing, errors, attempts, crashes, back-off, the log line.

A system writes only what happens between the claim and the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.lanes.classify_error import brief, expected, full, where
from pipeline_engine.repos.client import Document, is_away
from pipeline_engine.repos.heartbeat import Heartbeat
from pipeline_engine.repos.leased import Leased

CRASHED = "crashes"
"""The code of the failure of a document whose runs keep ending with their process."""

Repo = TypeVar("Repo", bound=Leased)

log = logs.get(__name__)


class Claim(Generic[Repo]):
    """The document as its run knows it. Every change is made under the claim's token."""

    def __init__(self, repo: Repo, document: Document, heartbeat: Heartbeat) -> None:
        self.repo = repo
        self.document = document
        self._heartbeat = heartbeat

    async def change(self, **values: Any) -> None:
        """Set fields; without any, only make sure that the document is still this run's. Raises: LeaseLost."""
        self.keep(await self.repo.change(self.document, values))

    async def release(self, **values: Any) -> None:
        """Set fields and let the next run claim the document. Raises: LeaseLost."""
        self.keep(await self.repo.release(self.document, values))

    def keep(self, document: Document | None) -> None:
        """Take over what an update returned. Raises: LeaseLost when it matched nothing."""
        if document is None:
            raise self.lost()
        self.document = document

    def check(self) -> None:
        """Before a new effect. Raises: LeaseLost when the lease may have run out."""
        if not self._heartbeat.trusted:
            raise LeaseLost(f"{self.repo.spec.name} {self.document['_id']}: the lease may have run out")

    def lost(self) -> LeaseLost:
        return LeaseLost(f"{self.repo.spec.name} {self.document['_id']}: another run has claimed it")


AnyClaim = TypeVar("AnyClaim", bound=Claim[Any])


@dataclass(frozen=True)
class Failure:
    """An attempt that ended with an error. `message` is fit for the document: secrets are taken out."""

    error: Exception
    attempt: int

    @property
    def message(self) -> str:
        return full(self.error)


def is_hopeless(error: Exception) -> bool:
    """Whether another attempt cannot help."""
    return isinstance(error, Permanent)


@dataclass(frozen=True)
class ClaimedRun(Generic[AnyClaim]):
    """How the documents of one kind are run.

    `work` does it. An error is logged as `<noun>.attempt_failed` and put off by the repo for `pause` seconds; after
    `attempts`, or when `is_hopeless` says so, `give_up` ends the document. With `attempts` None the lane counts them.
    A document whose holders vanished `crashes` times goes to `give_up` without being run.
    """

    noun: str
    work: Callable[[AnyClaim], Awaitable[Outcome | None]]
    give_up: Callable[[AnyClaim, Failure], Awaitable[Outcome | None]]
    attempts: int | None
    pause: float = 0.0
    crashes: int | None = None
    is_hopeless: Callable[[Exception], bool] = is_hopeless


async def run_claimed(
    app: App, repo: Leased, id: Any, run: ClaimedRun[AnyClaim], claim_type: Callable[..., AnyClaim]
) -> Outcome | None:
    """Claim the document and run it; None when it has ended, is not due, or is another run's.

    Raises: what MongoDB raises when it is away; with `attempts` None also what `work` raised.
    """
    document = await repo.claim(id)
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
            return await _after(run, claim, Failure(error, repo.attempt_of(claim.document)))


def _refuse_crashed(run: ClaimedRun[Any], crashes: int) -> None:
    if run.crashes is not None and crashes >= run.crashes:
        raise Permanent(f"{run.crashes} runs in a row ended in the middle", CRASHED)


async def _after(run: ClaimedRun[AnyClaim], claim: AnyClaim, failure: Failure) -> Outcome | None:
    _log(run.noun, claim.document, failure)
    if run.is_hopeless(failure.error) or (run.attempts is not None and failure.attempt >= run.attempts):
        return await run.give_up(claim, failure)
    await claim.repo.put_off(claim.document, run.pause, failure.message)
    if run.attempts is None:
        raise failure.error
    return Snooze(run.pause)


def _log(noun: str, document: Document, failure: Failure) -> None:
    # Not the message of a foreign exception: it may quote a cell.
    error = failure.error
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    ids = {"id": str(document["_id"]), "account_id": str(document.get("account_id"))}
    log.warning(f"{noun}.attempt_failed", **ids, attempt=failure.attempt, **facts)
