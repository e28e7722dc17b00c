"""The jobs that publish and deliver events, and their lane."""

from __future__ import annotations

from pipeline_engine.lanes import Backoff, JobKind, Lane

# One place, so that users receive events in the order in which they became true. The outbox counts attempts.
LANE = Lane("events.outbox", 1, Backoff.fixed(4), timeout=60, crashes=None)
RELAY = JobKind("event.relay", LANE, str)
"""Its id is `<collection>:<id of the document with events due>`."""
DELIVER = JobKind("event.deliver", LANE, str, "outbox")
"""Delivers all socket events that are due. Its id is that of the first one, so that a job exists for what becomes due
while another job ends."""
