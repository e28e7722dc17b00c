"""The three kinds of action; each takes effect exactly once in its own way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages.message import Deliver
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.deal_change import DealChange

Document = dict[str, Any]
Deal = Mapping[str, Any]
Composed = Deliver | Exception | None
PointsAt = Callable[[Automation], dict[str, list[ObjectId]]]
"""Returns {collection: ids} that must not belong to another account."""

RUN_FIELDS = ("automation_starts", "automation_generation", "automation_moves")
"""The fields of a deal that every run needs, whatever the action reads."""


def _nothing(_automation: Automation) -> dict[str, list[ObjectId]]:
    return {}


@dataclass(frozen=True)
class UpdateDeal:
    """Changes the deal itself: effect and mark are one guarded update, so a replay matches nothing."""

    change: Callable[[Automation], DealChange]
    points_at: PointsAt = _nothing
    moves: bool = False
    """It takes the deal out of the stage, so it goes last, and it is published as `deal.stage_changed`."""


@dataclass(frozen=True)
class InsertDocument:
    """Writes one document per deal under an `_id` that a repeat makes again; then the run marks the deal."""

    collection: str
    document: Callable[[Automation, Deal, datetime], Document]
    fields: tuple[str, ...] = ()
    """The fields of the deal that the document is made of."""
    points_at: PointsAt = _nothing


@dataclass(frozen=True)
class SendMessage:
    """Sends something out of the engine: recorded before the call, and never repeated without being flagged."""

    channel: str
    compose: Callable[[App[AutomationRepos], Automation, Sequence[Deal]], Awaitable[Sequence[Composed]]]
    """Returns for each deal, in their order, what sends its message, or why there is none; None for a deal that has
    gone. It has only the deals' `fields`, and reads itself what else the message needs."""
    points_at: PointsAt = _nothing
    fields: tuple[str, ...] = ()
    parallel: int = 5
    """How many calls a run makes at a time: at most so many units are in doubt after a kill."""


Action = UpdateDeal | InsertDocument | SendMessage


def needed_fields(action: Action) -> tuple[str, ...]:
    """The fields of a deal that a run of the action selects: a deal may have megabytes of others."""
    return RUN_FIELDS if isinstance(action, UpdateDeal) else (*RUN_FIELDS, *action.fields)
