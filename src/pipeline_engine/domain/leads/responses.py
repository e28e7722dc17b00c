"""Which reply of a lead ends a wait. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.leads.config import ResponseConfig

Document = Mapping[str, Any]
ID_PRECISION = timedelta(seconds=1)


def received_at(response: Document) -> datetime:
    """When the reply came: `received_at`, or when its document was made, at the latest (an id has whole seconds)."""
    moment = usable_date(response.get("received_at")) or usable_date(response.get("createdAt"))
    return moment or response["_id"].generation_time + ID_PRECISION


def is_reply(response: Document) -> bool:
    """Whether a person wrote it: an automatic reply is none."""
    return response.get("auto") is not True


def ends_wait(response: Document, config: ResponseConfig, since: datetime) -> bool:
    """Whether the reply came over the awaited channel, at `since` or later: the start of the action before the wait."""
    fits = config.channel == "any" or response.get("channel") == config.channel
    return is_reply(response) and fits and received_at(response) >= since


def first_reply(responses: Sequence[Document], config: ResponseConfig, since: datetime) -> Document | None:
    """The first of the replies that ends the wait; None when none does."""
    return min((one for one in responses if ends_wait(one, config, since)), key=received_at, default=None)
