"""Whose turn it is among the slots of one job and account. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any


class Turn(Enum):
    GO = "go"
    WAIT = "wait"
    SKIP = "skip"


def turn_of(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Turn:
    """What the holder of `row` does. `others` are the other rows of its job and account that are due or later.

    Rows are inserted before this is asked, so of two runs at least one sees the other: no two work for one account at
    the same time, slots are worked on in their order, and a slot that had not begun when a later one did is left out.
    """
    due = [one for one in others if one.get("state") == "due"]
    is_once, is_fresh = bool(row.get("is_once")), row.get("claims") == 1
    if not is_once and is_fresh and any(_is_later(one, row) for one in others):
        return Turn.SKIP
    if any(one.get("is_held") for one in due):
        return Turn.WAIT
    is_behind = not is_once and any(not one.get("is_once") and not _is_later(one, row) for one in due)
    return Turn.WAIT if is_behind else Turn.GO


def _is_later(one: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return not one.get("is_once") and str(one.get("slot")) > str(row["slot"])
