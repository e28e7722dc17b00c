"""The jobs of lead pipelines: each works for one account, for a slice of time, in one of four lanes."""

from __future__ import annotations

from collections.abc import Iterable

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.lanes import Backoff, JobKind, Lane


def _lane(name: str, places: int) -> Lane:
    # Entries count attempts and crashes; a job that failed is only a way to look again.
    return Lane(f"leads.{name}", places, Backoff.doubling(4, 60), attempts=5, crashes=None)


ENTER = JobKind("lead.enter", _lane("enter", 25), ObjectId, "_accounts")
INTERNAL = JobKind("lead.act", _lane("internal", 8), ObjectId, "_accounts")
EMAIL = JobKind("lead.email", _lane("email", 5), ObjectId, "_accounts")
SMS = JobKind("lead.sms", _lane("sms", 5), ObjectId, "_accounts")
EXITS = JobKind("lead.exits", _lane("exits", 1), str)
EXITS_ID = "exits"

ACTING: dict[str, JobKind[ObjectId]] = {"internal": INTERNAL, "email": EMAIL, "sms": SMS}
"""By lane of an action (`current_lane`): the kind of job that performs it."""


async def wake(app: App, kinds: Iterable[JobKind[ObjectId]], account_id: ObjectId) -> None:
    """Have these jobs of the account run now."""
    for kind in kinds:
        await kind.wake(app.queue, account_id)
