"""Every type of action and what performs it: one row per type."""

from __future__ import annotations

from pipeline_engine.domain.leads.actions import (
    add_tag,
    email,
    move,
    note,
    owner,
    remove_tag,
    sms,
    task,
    wait,
    wait_for_response,
)
from pipeline_engine.domain.leads.work import Act

ACTIONS: dict[str, Act] = {
    "email": email.act,
    "sms": sms.act,
    "note": note.act,
    "add_tag": add_tag.act,
    "remove_tag": remove_tag.act,
    "owner": owner.act,
    "move": move.act,
    "wait": wait.act,
    "wait_for_response": wait_for_response.act,
    "task": task.act,
}
