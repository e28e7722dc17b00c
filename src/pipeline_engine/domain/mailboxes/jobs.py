"""The jobs of mailboxes and their lane."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.lanes import Backoff, JobKind, Lane

ATTEMPTS = 3
RETRY_SECONDS = 30.0
# The mailbox's document counts attempts and crashes; a job that failed is only a way to look again.
LANE = Lane("crm.mail", 10, Backoff.fixed(RETRY_SECONDS), attempts=ATTEMPTS, timeout=300, crashes=None)
SYNC = JobKind("mailbox.sync", LANE, ObjectId, "email_accounts")
"""Reads what is new in a mailbox, for a slice of time."""
LINK = JobKind("mailbox.link_contacts", LANE, ObjectId, "_accounts")
"""Links messages of the account to contacts that got their address later."""
