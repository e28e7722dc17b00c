"""What becomes of an event that was given up: a dead letter, and another chance when an operator retries it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.consumers.order import key_of
from pipeline_engine.domain.events.jobs import CONSUME, CRM_EVENTS, RETRY, wake
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import DeadLetter
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos

log = logs.get(__name__)

MAX_COUNTED = 1000


def attempts_of(event: Document) -> int:
    """How many attempts were made, whatever anyone wrote into the field."""
    return max(0, min(int(event.get("attempts", 0)), MAX_COUNTED))


def past_errors(event: Document) -> list[Document]:
    """The errors that the engine has stored in the event, oldest first."""
    return [one for one in event.get("errors", []) if isinstance(one, dict) and isinstance(one.get("at"), datetime)]


async def bury(
    app: App[ConsumerRepos], account_id: ObjectId, event: Document, error: Document, takers: Sequence[str]
) -> None:
    """Write the dead letter of an event whose last attempt is stored, then make it `dead`, which releases its key, and
    leave it to its takers.

    A crash between the two repeats the same letter: its id follows from the first failure.
    """
    errors = [*past_errors(event), error]
    letter = DeadLetter(
        lane=CRM_EVENTS.name,
        job_id=str(event["_id"]),
        function=RETRY.name,
        args=[str(event["_id"])],
        kwargs={},
        error=str(error["error"]),
        traceback="",
        attempts=attempts_of(event),
        first_failed_at=errors[0]["at"],
        last_failed_at=error["at"],
        errors=errors,
    )
    await app.shared.job_store.save_dead_letter(letter)
    await app.repos.crm_events.end(account_id, [event["_id"]], [], takers, status="dead", error=str(error["error"]))
    facts = {"event_id": str(event["_id"]), "account_id": str(account_id), "key": key_of(event)}
    log.error("event.given_up", **facts, consequence="later events of its key go on; `dlq retry` consumes it again")


async def run_retry(app: App[ConsumerRepos], _cache: None, id: str) -> None:
    """Make the event of a dead letter due again, for those consumers that have not had it.

    Raises: Permanent when there is no such event any more.
    """
    event = await app.repos.crm_events.get(id)
    if event is None:
        raise Permanent("the event of this dead letter does not exist any more", "not_found")
    await app.repos.crm_events.retry(event)
    if account_id := object_id(event.get("account_id")):
        await wake(app, CONSUME, account_id)
