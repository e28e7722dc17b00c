"""The jobs of events, their lanes, and how they are woken."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Backoff, JobKind, Lane, Rate
from pipeline_engine.settings import Settings

log = logs.get(__name__)

# The outbox counts attempts. One job delivers all events of an account, in the order in which they became true.
LANE = Lane("events.outbox", 8, Backoff.fixed(4), timeout=60, crashes=None)
RELAY = JobKind("event.relay", LANE, str)
"""Its id is `<collection>:<id of the document with events due>`."""
DELIVER = JobKind("event.deliver", LANE, str, "outbox")
"""Delivers all socket events of an account that are due. Its id is that of the first one, so that a job exists for what
becomes due while another job ends."""


def _lane(name: str, timeout: float = 300.0) -> Lane:
    # QUEUE_CONCURRENCY and QUEUE_MAX_JOBS_PER_SECOND give it places and rate. Documents count attempts and crashes; a
    # job that failed is only a way to look again.
    return Lane(name, 3, Backoff.steps(1, 5, 30), attempts=4, timeout=timeout, crashes=None)


CRM_EVENTS = _lane("crm-events")
WORKFLOW_BRIDGE = _lane("crm-workflow-bridge")
ACTIVITY_LOG = _lane("crm-activity-log")
WEBHOOKS = Lane("crm-webhooks", 10, Backoff.steps(1, 5, 30), attempts=4, timeout=120, crashes=None)

CONSUME = JobKind("event.consume", CRM_EVENTS, ObjectId, "_accounts")
"""Consumes a slice of the account's due events."""
RETRY = JobKind("event.retry", CRM_EVENTS, str, "crm_events")
"""Makes an event whose dead letter an operator retries due again."""
LOG = JobKind("activity.log", ACTIVITY_LOG, ObjectId, "_accounts")
"""Writes the activity log of the account's consumed events."""
ENROLL = JobKind("workflow.enroll", WORKFLOW_BRIDGE, ObjectId, "_accounts")
"""Lets the account's consumed events start workflows and end their waits."""
STEP = JobKind("workflow.step", WORKFLOW_BRIDGE, ObjectId, "_accounts")
"""Performs the due workflow steps of the account."""
FAN_OUT = JobKind("webhook.fan_out", WEBHOOKS, ObjectId, "_accounts")
"""Makes a delivery of every consumed event of the account for every endpoint that wants it."""
RETRY_ENROLLMENT = JobKind("workflow.retry", WORKFLOW_BRIDGE, ObjectId, "workflow_enrollments")
"""Lets an enrolment go on whose dead letter an operator retries."""
POST = JobKind("webhook.post", WEBHOOKS, ObjectId, "webhooks")
"""Makes the due deliveries of one endpoint."""

ONWARD: dict[str, JobKind[ObjectId]] = {"activity": LOG, "workflows": ENROLL, "webhooks": FAN_OUT}
"""Who takes a consumed event next, by the name in its field `onward`; each removes its own name when it is done."""


def tune(lane: Lane, settings: Settings) -> Lane:
    """The lane with the places and the rate over all daemons that the settings give to jobs of CRM events."""
    rate = Rate(settings.queue_max_jobs_per_second, 1.0)
    return lane if lane.name == WEBHOOKS.name else replace(lane, places=settings.queue_concurrency, rate=rate)


async def wake(app: App, kind: JobKind[ObjectId], account_id: ObjectId) -> None:
    """Have this job of the account run now. Without Redis nothing is woken, and a sweep finds the work."""
    try:
        await kind.wake(app.queue, account_id)
    except Unreachable as error:
        log.info("event_job.not_dispatched", job=kind.name, account_id=str(account_id), error=error)


async def wake_at(app: App, kind: JobKind[ObjectId], account_id: ObjectId, moment: datetime) -> None:
    """As `wake`, at the moment and up to 0.25 s later, beside the job that may be waiting or running now."""
    try:
        await kind.wake_at(app.queue, account_id, moment, app.clock.now())
    except Unreachable as error:
        log.info("event_job.not_dispatched", job=kind.name, account_id=str(account_id), error=error)
