"""Refreshes OAuth tokens before they expire, keeps unused grants alive, and asks people to renew dead ones."""

from __future__ import annotations

from datetime import time, timedelta

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.domain.credentials.notices import close_notices, open_notices
from pipeline_engine.domain.credentials.refresh import is_due, refresh_if
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.lane import RELEASE, Places
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.unit import Unit
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.job_repos import JobRepos

BATCH = 50

log = logs.get(__name__)


async def run(work: JobWork) -> JobResult:
    """Refresh what is due. A credential that fails keeps no other from being refreshed.

    Raises: Transient when some refreshes may succeed later: the slot's next attempt makes those again.
    """
    await _tidy_notices(work)
    within = timedelta(days=work.app.settings.token_check_days)
    done, failed, passing = 0, 0, list[Exception]()
    while batch := await work.app.shared.integration_credentials.find_due(work.account_id, within, BATCH):
        for document in batch:
            if work.is_over:
                return JobResult(done, failed + len(passing), more=True)
            work.check()
            error = await _refresh(work, document, within)
            done += error is None
            failed += isinstance(error, Permanent)
            passing += [error] if error and not isinstance(error, Permanent) else []
    if passing:
        raise Transient(f"{len(passing)} credentials could not be refreshed: {full(passing[0])}")
    return JobResult(done, failed)


async def _refresh(work: JobWork, document: Document, within: timedelta) -> Exception | None:
    """Refresh one credential. Returns the error that belongs to it alone."""
    app, id = work.app, document["_id"]
    try:
        await refresh_if(app, work.account_id, id, lambda found: is_due(found, app.clock.now(), within))
    except (Permanent, Transient, RateLimited) as error:
        log.info("oauth.not_refreshed", id=str(id), account_id=str(work.account_id), reason=full(error))
        return error
    except Exception as error:
        if not blames_document(error):
            raise
        await app.shared.integration_credentials.set_aside(id, f"cannot be refreshed: {full(error)}")
        return Permanent("the credential cannot be read", "malformed")
    return None


async def _tidy_notices(work: JobWork) -> None:
    """Write the notifications that a crash left out, and close those of grants that people have renewed."""
    repo = work.app.shared.integration_credentials
    for document in await repo.recovered(work.account_id, BATCH):
        await close_notices(work.app, document)
    for document in await repo.to_note(work.account_id, BATCH):
        await open_notices(work.app, document)


async def find_abandoned(app: App[JobRepos]) -> list[Unit]:
    """Credentials whose refresh was cut off by the end of its process."""
    found = await app.shared.integration_credentials.find_abandoned(BATCH)
    return [Unit.of(RELEASE, one["_id"], one.get("account_id")) for one in found if RELEASE.can_name(one["_id"])]


async def run_release(app: App[JobRepos], _places: Places, id: ObjectId | str) -> None:
    """Release a credential that no process holds any more. The next run that needs it refreshes it."""
    repo = app.shared.integration_credentials
    if held := await repo.claim(id):
        await repo.release(held)


JOB = CrmJob("crm.token_check", DailyAt(time(3)), run)
