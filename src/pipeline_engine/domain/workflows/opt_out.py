"""Ends the runs of contacts who want no more messages, where a step ahead would send one."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.workflows.program import read_program
from pipeline_engine.domain.workflows.workflow import Document
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.workflow_repos import WorkflowRepos

SENDING = {"email": "send_email", "sms": "send_sms"}


async def cancel(app: App[WorkflowRepos], wish: OptOut) -> int:
    """End these contacts' enrolments as `unsubscribed`. One without a message ahead goes on. Returns how many ended."""
    contacts = await app.shared.people.contacts(wish.account_id, wish.channel, wish.spellings)
    if not contacts:
        return 0
    open = await app.repos.workflow_records.open_of_contacts(wish.account_id, [one["_id"] for one in contacts])
    ending = [one["_id"] for one in open if _sends(one, SENDING[wish.channel])]
    return await app.repos.workflow_records.end(wish.account_id, ending, "unsubscribed", wish.source) if ending else 0


def _sends(enrollment: Document, type: str) -> bool:
    """Whether a step of the type is ahead. Steps that are not pinned yet, or cannot be read, look for themselves."""
    step = enrollment.get("step")
    try:
        program = read_program(enrollment.get("steps"))
    except Permanent:
        return False
    return any(one.type == type and one.number >= (step if isinstance(step, int) else 0) for one in program)
