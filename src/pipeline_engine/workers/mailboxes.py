"""Mailboxes of tenants: read every five minutes, each message once."""

from __future__ import annotations

from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.mailboxes import sweep
from pipeline_engine.domain.mailboxes.jobs import LINK, SYNC
from pipeline_engine.domain.mailboxes.sync import run_link, run_sync
from pipeline_engine.repos.email_accounts import EMAIL_ACCOUNTS
from pipeline_engine.repos.integration_credentials import INTEGRATION_CREDENTIALS
from pipeline_engine.repos.mailbox_repos import MAILBOX_COLLECTIONS, MailboxRepos
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

MAX_OF_ACCOUNT = 2
"""Of the lane's ten places."""

SYSTEM = System(
    name="mailboxes",
    switch="QM_CRM_JOBS",
    collections=(*MAILBOX_COLLECTIONS, INTEGRATION_CREDENTIALS),
    open_repos=MailboxRepos.open,
    handlers={SYNC: run_sync, LINK: run_link},
    demo="pipeline_engine.cli.demo.mailbox_sync",
    new_cache=lambda _settings: AccountPlaces(MAX_OF_ACCOUNT),
    sweeps=(
        Sweep(
            "crm.email_sync",
            every=lambda settings: settings.email_sync_seconds,
            find=sweep.find,
            find_due_now=sweep.find_due_now,
            find_abandoned=sweep.find_abandoned,
            outcomes=sweep.outcomes,
            watches=frozenset({EMAIL_ACCOUNTS.name, INTEGRATION_CREDENTIALS.name}),
        ),
    ),
)
