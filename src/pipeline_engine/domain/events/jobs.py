"""The jobs that publish and deliver events, and their lane."""

from __future__ import annotations

from pipeline_engine.lanes import Backoff, JobKind, Lane

# The outbox counts attempts. One job delivers all events of an account, in the order in which they became true.
LANE = Lane("events.outbox", 8, Backoff.fixed(4), timeout=60, crashes=None)
RELAY = JobKind("event.relay", LANE, str)
"""Its id is `<collection>:<id of the document with events due>`."""
DELIVER = JobKind("event.deliver", LANE, str, "outbox")
"""Delivers all socket events of an account that are due. Its id is that of the first one, so that a job exists for what
becomes due while another job ends."""
