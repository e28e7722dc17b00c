"""Sends one message for a step: within the account's limit, with a record before the call, at most four attempts."""

from __future__ import annotations

from datetime import timedelta

from pipeline_engine.domain.messages.earlier_sends import carry_over
from pipeline_engine.domain.messages.limits import within_limit
from pipeline_engine.domain.messages.message import Deliver, Message, sender
from pipeline_engine.domain.messages.policy import Held
from pipeline_engine.domain.messages.send_all import send_all
from pipeline_engine.domain.messages.send_result import Delivered, GivenUp, HeldBack, Limited, NotYet
from pipeline_engine.domain.workflows.step import RunOver, StepPassed, StepResult, StepRun, StepWaits, send_keys
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.providers.renderer import NotRendered
from pipeline_engine.repos.messages import Channel

MAX_ATTEMPTS = 4


async def send(run: StepRun, channel: Channel, composed: Message | NotRendered) -> StepResult:
    """Send what was composed; a contact that must not be written to ends the run as `unsubscribed`.

    Raises: Transient when another attempt may help; Permanent when it was given up, or could not be composed.
    """
    *earlier, key = send_keys(run.enrollment, run.step)
    if await carry_over(run.app, run.account_id, channel, key, earlier):
        return StepPassed("sent before")
    match composed:
        case Held():
            return await _send(run, channel, key, composed)
        case RateLimited():
            return StepWaits(run.now + timedelta(seconds=composed.retry_after))
        case Permanent(code="suppressed"):
            return RunOver("unsubscribed", str(composed))
        case Permanent():
            raise composed
    grant = await within_limit(run.app, run.account_id, channel, 1)
    if not grant.units:
        return StepWaits(run.now + timedelta(seconds=grant.after))
    return await _send(run, channel, key, sender(run.app, composed))


async def _send(run: StepRun, channel: Channel, key: str, unit: Deliver | Held) -> StepResult:
    ended = await send_all(
        run.app,
        run.account_id,
        channel,
        {key: unit},
        still_wanted=run.still_wanted,
        places=1,
        until=run.until,
        attempts=MAX_ATTEMPTS,
    )
    match result := ended.get(key):
        case Delivered():
            return StepPassed("sent")
        case NotYet(error):
            raise Transient(error)
        case GivenUp(error):
            raise Permanent(error, "not_sent")
        case HeldBack():
            return StepWaits(result.until)
        case Limited(after):
            return StepWaits(run.now + timedelta(seconds=after))
    return StepWaits(run.now)
