"""The jobs of sequences: each works for one account, for a slice of time."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.lanes import Backoff, JobKind, Lane

# Enrolments count attempts and crashes; a job that failed is only a way to look again.
LANE = Lane("crm.sequences", 5, Backoff.fixed(30), attempts=3, timeout=300, crashes=None)

SEND = JobKind("sequence.send", LANE, ObjectId, "_accounts")
"""Sends the due mails of the account."""
RETRY = JobKind("sequence.retry", LANE, ObjectId, "workflow_enrollments")
"""Lets an enrolment go on whose dead letter an operator retries."""
