"""The id of a slot row, which is also the id of its job in the lane: `<job>:<account>:<slot>`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bson import ObjectId

from pipeline_engine.ids import object_id

ONCE = "once:"
"""Slots that an operator asks for begin with it, so they sort behind all others."""


@dataclass(frozen=True)
class SlotId:
    job: str
    account_id: ObjectId
    slot: str

    def __str__(self) -> str:
        return f"{self.job}:{self.account_id}:{self.slot}"

    @property
    def is_once(self) -> bool:
        """Whether an operator asked for this run; it belongs to no slot of the schedule."""
        return self.slot.startswith(ONCE)


def read_slot_id(text: str) -> SlotId | None:
    """None for a text that is no id of a slot row."""
    job, _, rest = text.partition(":")
    account, _, slot = rest.partition(":")
    account_id = object_id(account)
    return SlotId(job, account_id, slot) if job and account_id and slot else None
