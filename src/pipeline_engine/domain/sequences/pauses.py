"""Sequences that rest: what the sequence says is carried over to those who are under way in it."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.ids import object_id
from pipeline_engine.repos.sequence_repos import SequenceRepos

log = logs.get(__name__)


async def keep_to_pauses(app: App[SequenceRepos], account_id: ObjectId) -> None:
    """Pause the account's enrolments whose sequence is not active, or paused; let those go on whose sequence is active
    again."""
    enrollments, now = app.repos.sequence_enrollments, app.clock.now()
    resting = await app.repos.sequences.resting_of(account_id)
    if resting and (held := await enrollments.pause_of(account_id, resting, now)):
        log.info("sequence.paused", account_id=str(account_id), enrollments=held)
    known = set(map(str, resting))
    again = [id for id in await enrollments.held_by_pauses(account_id) if str(id) not in known]
    if again and (released := await enrollments.resume_of(account_id, again, now)):
        log.info("sequence.resumed", account_id=str(account_id), enrollments=released)


async def accounts_to_keep(app: App[SequenceRepos]) -> set[ObjectId]:
    """The accounts for which `keep_to_pauses` has something to do."""
    enrollments = app.repos.sequence_enrollments
    resting = await app.repos.sequences.resting()
    to_pause = await enrollments.active_in(resting) if resting else []
    known = set(map(str, resting))
    holding = await enrollments.all_held_by_pauses()
    to_resume = [one.get("account_id") for one in holding if str(one.get("sequence_id")) not in known]
    return {id for one in [*to_pause, *to_resume] if (id := object_id(one))}
