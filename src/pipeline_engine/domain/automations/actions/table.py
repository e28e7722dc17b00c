"""Every automation type and its action: one row per type."""

from __future__ import annotations

from pipeline_engine.domain.automations.action import Action, UpdateDeal
from pipeline_engine.domain.automations.actions import (
    add_tag,
    email,
    follower,
    instareport,
    instasite,
    note,
    owner,
    reminder,
    remove_tag,
    sms,
    stage,
)

ACTIONS: dict[str, Action] = {
    "add_tag": add_tag.ACTION,
    "remove_tag": remove_tag.ACTION,
    "email": email.ACTION,
    "sms": sms.ACTION,
    "note": note.ACTION,
    "reminder": reminder.ACTION,
    "owner": owner.ACTION,
    "follower": follower.ACTION,
    "stage": stage.ACTION,
    "instareport": instareport.ACTION,
    "instasite": instasite.ACTION,
}


def moves_deals(type: object) -> bool:
    """Whether automations of the type take deals out of their stage; an unknown type does not."""
    action = ACTIONS.get(str(type))
    return isinstance(action, UpdateDeal) and action.moves
