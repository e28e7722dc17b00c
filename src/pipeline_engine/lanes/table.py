"""Every lane of the engine, in one table."""

from __future__ import annotations

from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.lane import Lane, Rate

MINUTE = 60.0
HOUR = 3600.0

SEED = Backoff.fixed(4)
EVENTS = Backoff.steps(1, 5, 30)
EVENT_RATE = Rate(jobs=5, seconds=1.0)

# Places per automation type: half as many where every unit calls somebody outside the house.
AUTOMATION_PLACES = {
    "add_tag": 10,
    "remove_tag": 10,
    "email": 5,
    "sms": 5,
    "note": 10,
    "reminder": 10,
    "owner": 10,
    "follower": 10,
    "stage": 10,
    "instareport": 5,
    "instasite": 5,
}

_ROWS = (
    # An import streams whole files: its run is long, and it renews a lease of its own in MongoDB meanwhile.
    Lane("deals.import", 3, SEED, timeout=6 * HOUR, crashes=None),
    Lane("deals.import.rows", 8, SEED, timeout=5 * MINUTE, crashes=None),
    # The automation counts crashes, and gets over more of them than a job would.
    *(Lane(f"deals.automations.{kind}", places, SEED, crashes=None) for kind, places in AUTOMATION_PLACES.items()),
    # Documents count the crashes of both.
    Lane("funnels_clone", 3, SEED, timeout=30 * MINUTE, crashes=None),
    Lane("funnels_clone_step", 5, SEED, timeout=10 * MINUTE, crashes=None),
    Lane("leads.actions", 20, Backoff.doubling(4), attempts=5),
    Lane("crm-events", 3, EVENTS, rate=EVENT_RATE),
    Lane("crm-workflow-bridge", 3, EVENTS, rate=EVENT_RATE),
    Lane("crm-activity-log", 3, EVENTS, rate=EVENT_RATE),
    Lane("crm.jobs", 4, Backoff.fixed(30), timeout=HOUR),
)

LANES: dict[str, Lane] = {lane.name: lane for lane in _ROWS}
