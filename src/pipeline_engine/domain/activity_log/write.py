"""The job `activity.log`: writes an entry for each consumed event of an account."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.activity_log.entry import entry_of
from pipeline_engine.domain.events.jobs import LOG
from pipeline_engine.domain.events.onward import take_onward
from pipeline_engine.domain.events.units import account_units, event_units
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.activity_log import ActivityRepos
from pipeline_engine.repos.client import Document

NAME = "activity"
"""Its name in the field `onward` of events."""
BATCH_EVENTS = 500
SLICE_SECONDS = 2.0
MAX_COUNTED = 100_000


async def run_log(app: App[ActivityRepos], _cache: None, account_id: ObjectId) -> Outcome | None:
    """Write what is missing, for at most SLICE_SECONDS; then other accounts have a turn. Runs of one account may
    overlap: the second writes nothing."""
    until, kept = time.monotonic() + SLICE_SECONDS, timedelta(days=app.settings.activity_log_days)
    while events := await app.repos.crm_events.read_onward(account_id, NAME, BATCH_EVENTS):
        await take_onward(app, account_id, NAME, events, partial(_take, app, account_id, kept))
        if time.monotonic() >= until or app.stopping.is_set():
            return Snooze()
    return None


async def _take(app: App[ActivityRepos], account_id: ObjectId, kept: timedelta, events: Sequence[Document]) -> None:
    now = app.clock.now()
    await app.repos.activity_log.add([entry_of(account_id, event, now, kept) for event in events])


async def find(app: App[ActivityRepos]) -> list[Unit]:
    """Accounts with events that are not logged."""
    return account_units(LOG, await app.repos.crm_events.onward_accounts(NAME))


async def find_due_now(app: App[ActivityRepos]) -> list[Unit]:
    """Events that are not logged, which is what `run-once` counts."""
    return event_units(await find(app), await app.repos.crm_events.find_onward(NAME, MAX_COUNTED))


async def outcomes(app: App[ActivityRepos], ids: Sequence[str]) -> Mapping[str, str]:
    """{event id: succeeded|busy}"""
    left = {id for id, event in (await app.repos.crm_events.states(ids)).items() if NAME in event.get("onward", [])}
    return {id: "busy" if id in left else "succeeded" for id in ids}
