"""The three ways in which an action takes effect exactly once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.effects import Deliver
from pipeline_engine.repos.deal_change import DealChange

Document = dict[str, Any]
Deal = Mapping[str, Any]

MARKS = ("automation_starts", "automation_generation", "automation_moves")
"""What of a deal has to be known to change it without looking at the rest."""


def _nothing(_automation: Automation) -> dict[str, list[ObjectId]]:
    return {}


@dataclass(frozen=True)
class UpdateDeal:
    """Changes the deal itself: effect and mark are one guarded update, so a replay matches nothing."""

    change: Callable[[Automation], DealChange]
    points_at: Callable[[Automation], dict[str, list[ObjectId]]] = _nothing
    """{collection: ids} that must not belong to another account."""
    moves: bool = False
    """It takes the deal out of the stage, so it goes last, and it is told as `deal.stage_changed`."""


@dataclass(frozen=True)
class InsertDocument:
    """Writes one document per deal under an `_id` that a repeat makes again; then marks the deal."""

    collection: str
    document: Callable[[Automation, Deal, datetime], Document]
    points_at: Callable[[Automation], dict[str, list[ObjectId]]] = field(default=_nothing)


@dataclass(frozen=True)
class SendMessage:
    """Leaves the house: recorded before it is sent, and never sent again without being flagged."""

    channel: str
    compose: Callable[[App, Automation, Sequence[Deal]], Awaitable[list[Deliver | Exception]]]
    """What makes the call for each deal, in their order; or why there is none."""
    points_at: Callable[[Automation], dict[str, list[ObjectId]]] = field(default=_nothing)


Action = UpdateDeal | InsertDocument | SendMessage


def needs(action: Action) -> tuple[str, ...] | None:
    """The fields of a deal that it has to know; None for all of them."""
    return MARKS if isinstance(action, UpdateDeal) else None


def moves(action: Action) -> bool:
    """Whether it takes deals out of the stage."""
    return isinstance(action, UpdateDeal) and action.moves
