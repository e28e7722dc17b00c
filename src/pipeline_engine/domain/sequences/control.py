"""What an operator does to enrolments in sequences: let one that failed go on."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import wake
from pipeline_engine.domain.sequences.jobs import SEND
from pipeline_engine.ids import object_id
from pipeline_engine.providers.public_host import PublicHosts
from pipeline_engine.repos.sequence_repos import SequenceRepos

log = logs.get(__name__)


async def run_retry(app: App[SequenceRepos], _hosts: PublicHosts, enrollment_id: ObjectId) -> None:
    """Let an enrolment go on at the mail at which it failed, with all its attempts: an operator retries its dead
    letter. One that has not failed stays as it is."""
    if not await app.repos.sequence_enrollments.again(enrollment_id, app.clock.now()):
        log.info("sequence_enrollment.not_retried", id=str(enrollment_id), reason="it has not failed")
        return
    enrollment = await app.repos.sequence_enrollments.get(enrollment_id)
    if account_id := object_id(enrollment and enrollment.get("account_id")):
        await wake(app, SEND, account_id)
