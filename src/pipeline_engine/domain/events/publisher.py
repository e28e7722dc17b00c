"""Publishes CRM events: a document first, then a job, so that what Redis loses is found by the sweep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App, reason_of
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.domain.events.jobs import CONSUME, wake
from pipeline_engine.domain.events.payloads import CURRENT_VERSION, MALFORMED, read_payload
from pipeline_engine.errors import Permanent

MAX_CAUSE_DEPTH = 20
"""So long may a chain of events be of which each was published because of the one before."""
TOO_DEEP = "cause_depth"

Cause = Mapping[str, Any]
"""`{event_id, depth}`: the event because of which another is published, and how long the chain is then."""


def caused_by(event: Mapping[str, Any]) -> Cause:
    """The cause of an event that is published because of `event`."""
    return {"event_id": event["_id"], "depth": depth_of(event) + 1}


def depth_of(event: Mapping[str, Any]) -> int:
    """How many events came before this one in its chain; 0 when it was published for another reason."""
    cause = event.get("cause")
    depth = cause.get("depth") if isinstance(cause, Mapping) else None
    return depth if isinstance(depth, int) and depth > 0 else 0


def check_depth(event: Mapping[str, Any]) -> None:
    """Raises: Permanent TOO_DEEP when the chain of the event is longer than MAX_CAUSE_DEPTH."""
    if (depth := depth_of(event)) > MAX_CAUSE_DEPTH:
        raise Permanent(f"a chain of {depth} events, each because of the one before: it looks endless", TOO_DEEP)


class EventPublisher:
    """Publishes events of any account."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def publish(
        self,
        type: str,
        data: Mapping[str, Any],
        account_id: ObjectId,
        *,
        user_id: object = None,
        key: str | None = None,
        id: str | None = None,
        occurred_at: datetime | None = None,
        cause: Cause | None = None,
        version: int = CURRENT_VERSION,
    ) -> str:
        """Insert the event, unless the account has one of this `id`, and return its id: another one where another
        account has an event of this `id`. It is consumed soon after.

        Events of one `key` are consumed in order; by default the contact, deal or lead in `data` is the key. With an
        `id` that follows from what happened, a repeat publishes nothing. `cause` as `caused_by` returns it.

        Raises: Permanent `payload` when the data does not fit the type or MongoDB cannot hold it, `cause_depth` when
        the chain is too long.
        """
        event: dict[str, Any] = {"_id": id or str(ObjectId()), "type": type, "version": version}
        event |= {"account_id": account_id, "user_id": user_id, "data": dict(data)}
        event |= {"occurred_at": occurred_at or self._app.clock.now()}
        event |= {name: value for name, value in (("key", key), ("cause", cause)) if value is not None}
        read_payload(type, data, version, strict=True)
        check_depth(event)
        try:
            event_id = await self._app.shared.events.publish(event)
        except Exception as error:
            if not blames_document(error):
                raise
            raise Permanent(f"{type}: MongoDB cannot store the event: {reason_of(error)}", MALFORMED) from None
        if self._app.settings.qm_events:
            await wake(self._app, CONSUME, account_id)
        return str(event_id)
