"""The settings of one system each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from pipeline_engine.settings.value_types import CallSeconds, Count, Days, Seconds


class SystemSettings(BaseSettings):
    """One field per variable: `import_attempts` is the variable `IMPORT_ATTEMPTS`."""

    # Deal import
    import_sweep_seconds: Seconds = Field(5, description="the seed's cron: every 5 seconds")
    import_attempts: Count = Field(3, description="the seed's attempts before an import has failed")
    import_retry_seconds: Seconds = Field(4, description="the seed's 4 s between attempts")
    import_chunk_rows: Count = Field(500, description="rows of one job")
    import_chunks_ahead: Count = Field(16, description="chunks cut but not yet done, per import")
    import_slice_seconds: Seconds = Field(5, description="planning time of one import while others wait")
    import_key_prefix: str | None = Field(None, description="only S3 keys under it, e.g. imports/{account_id}/")
    import_max_bytes: Count = Field(2 * 1024**3, description="a larger file is refused")
    import_max_rows: Count = Field(2_000_000, description="rows beyond are refused")
    import_log_rows: Count = Field(1000, description="errors kept in csv_imports; all are in the error CSV")
    stage_name_case: Literal["lower", "keep"] = Field("lower", description="spelling of stages made by an import")

    # Deal automations
    automation_sweep_seconds: Seconds = Field(60, description="the seed's cron: every minute")
    automation_batch: Count = Field(200, description="deals of one log document")
    automation_slice_seconds: Seconds = Field(
        5, description="working time of one automation before others get its place"
    )
    automation_log_days: Days = Field(90, description="how long automation_logs of ours are kept")

    # Lead pipelines
    leads_sweep_seconds: Seconds = Field(30, description="how often due actions of leads are looked for")
    leads_slice_seconds: Seconds = Field(2, description="working time of one account before others get its place")
    leads_batch: Count = Field(500, description="leads that one batch of internal actions claims")
    leads_send_batch: Count = Field(100, description="leads that one batch of e-mails or texts claims")
    leads_active_max: Count = Field(100_000, description="leads of one account in running automation; others queue")
    leads_attempts: Count = Field(5, description="attempts before an action has failed")
    leads_retry_seconds: Seconds = Field(4, description="pause after the first failed attempt; it doubles")
    leads_moves_max: Count = Field(20, description="moves in a row without a wait before a lead is stopped")
    leads_sla_seconds: Seconds = Field(120, description="an action that starts later after it was due is warned about")
    leads_email_limit: Count | None = Field(None, description="e-mails of one account per minute, unless it has limits")
    leads_sms_limit: Count | None = Field(None, description="texts of one account per minute, unless it has limits")

    # Mails and texts of all systems
    message_max_hold_days: Days = Field(7, le=366, description="a message that waited longer is given up")
    dkim_selector: str | None = Field(None, description="`doctor` looks for the DKIM key of this selector")

    # Scheduled CRM jobs
    crm_jobs_off: str | None = Field(
        None, description="jobs that are left out, with commas between: stale_deals, daily_insight"
    )

    # Mailboxes
    email_sync_seconds: Seconds = Field(300, description="the seed's cron: every 5 minutes")
    mail_timeout: CallSeconds = Field(30, le=60, description="seconds that a tenant's mail server may be silent")
    mail_ca_file: str | None = Field(None, description="certificates (PEM) that are trusted besides the system's")

    # Sequences of e-mails
    sequence_sweep_seconds: Seconds = Field(300, description="the seed's cron: every 5 minutes")
    sequence_batch: Count = Field(200, description="enrolments that one batch claims")
    sequence_attempts: Count = Field(5, description="calls for one mail before its enrolment has failed")
    sequence_retry_seconds: Seconds = Field(30, description="pause after the first failed call; it doubles")

    # Funnel cloning
    funnel_sweep_seconds: Seconds = Field(300, description="the seed's cron: every 5 minutes")
    funnels_per_run: Count = Field(3, description="the seed's funnels of one look; also of one account at a time")
    clone_attempts: Count = Field(3, description="the seed's attempts of one run, for a funnel and for each step")
    clone_retry_seconds: Seconds = Field(4, description="the seed's 4 s between attempts")
    clone_runs: Count = Field(3, description="runs that fail before a clone has failed")
    clone_copies: Count = Field(10, description="images copied at once")
