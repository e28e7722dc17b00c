"""Encrypts stored credentials with the newest of CREDENTIALS_KEYS, so that older keys can be taken out."""

from __future__ import annotations

from datetime import time

from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.integration_credentials import SECRETS
from pipeline_engine.settings import Settings

BATCH = 100


async def run(work: JobWork) -> JobResult:
    """Encrypt again what the engine encrypted with an older key. Plain values of the CRM stay as they are.

    Raises: Permanent when no key opens some of them.
    """
    secrets, repo = work.app.integrations.credentials, work.app.shared.integration_credentials
    done, unreadable = 0, 0
    while batch := await repo.sealed_otherwise(work.account_id, secrets.key_id, BATCH + unreadable):
        unreadable = 0
        for document in batch:
            try:
                values = secrets.sealed_again(document, SECRETS)
            except Permanent:
                unreadable += 1
                continue
            work.check()
            done += await repo.seal_again(document, values, secrets.key_id)
        if unreadable == len(batch):
            raise Permanent(f"{unreadable} credentials are encrypted with a key that is not in CREDENTIALS_KEYS")
        if work.is_over:
            return JobResult(done, more=True)
    return JobResult(done)


def needs(settings: Settings) -> str | None:
    return None if settings.credentials_keys else "CREDENTIALS_KEYS is not set"


JOB = CrmJob("crm.credential_rotation", DailyAt(time(3, 30)), run, needs)
