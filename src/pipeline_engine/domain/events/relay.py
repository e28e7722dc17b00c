"""Carries events from where they became true to where they are heard.

The update that makes an event true writes it into `events_due` of its own document; the relay copies it under a fixed
id and then clears it there. So a crash repeats a step at most, and a repeat is seen by the `event_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.providers.sockets import Delivery

Document = Mapping[str, Any]

MOST_ATTEMPTS = 3
PAUSE = 15.0
"""Seconds from one attempt to the next. An attempt takes at most ten; a process that dies in one delays the event."""
BATCH = 200

log = logs.get(__name__)


def crm_event(event_id: str, type: str, user_id: Any, data: dict[str, Any]) -> dict[str, Any]:
    """An entry of `events_due` for `crm_events`."""
    return {"event_id": event_id, "to": "crm_events", "type": type, "user_id": user_id, "data": data}


def socket_event(event_id: str, event: str, user_ids: Sequence[str], data: dict[str, Any]) -> dict[str, Any]:
    """An entry of `events_due` for the users who are looking on."""
    return {"event_id": event_id, "to": "socket", "event": event, "user_ids": list(user_ids), "data": data}


class Source(Protocol):
    """Where events become true."""

    async def with_events_due(self, limit: int) -> list[dict[str, Any]]: ...

    async def events_told(self, document: dict[str, Any]) -> None: ...


async def tell(app: App, source: Source, document: Document) -> None:
    """Pass on every event that is due in a document of the source, then forget it there."""
    for due in document["events_due"]:
        await _pass_on(app, document.get("account_id"), due)
    await source.events_told(dict(document))


async def _pass_on(app: App, account_id: Any, due: Document) -> None:
    entry = {key: value for key, value in due.items() if key not in ("event_id", "to")}
    entry |= {"_id": due["event_id"], "account_id": account_id}
    if due["to"] == "crm_events":
        await app.events.publish({**entry, "occurred_at": app.clock.now()})
    else:
        await app.events.send(entry)


async def find(app: App) -> list[Unit]:
    """Pass on what a crash left behind, then deliver every socket event whose time has come."""
    sources: tuple[Source, ...] = (app.imports, app.funnels)
    for source in sources:
        for document in await source.with_events_due(BATCH):
            await tell(app, source, document)
    messages = await app.events.waiting(BATCH)
    for message in messages:
        await _deliver(app, message)
    return [Unit(str(message["_id"]), str(message["account_id"])) for message in messages]


async def _deliver(app: App, message: Document) -> None:
    if message["attempts"] >= MOST_ATTEMPTS:  # the last attempt was made, but a crash came before its result
        await _give_up(app, message)
        return
    if not await app.events.attempt(dict(message), again_in=PAUSE):
        return
    sent = await app.sockets.emit(message["event"], message["_id"], message["user_ids"], message["data"])
    if sent is Delivery.ACKNOWLEDGED:
        await app.events.settle(dict(message), "delivered")
    elif sent is Delivery.UNSENT:
        await app.events.take_back(dict(message))
    elif message["attempts"] + 1 >= MOST_ATTEMPTS:
        await _give_up(app, message)


async def _give_up(app: App, message: Document) -> None:
    log.warning("socket event given up", event_id=message["_id"], socket_event=message["event"])
    await app.events.settle(dict(message), "given_up")


async def outcomes(app: App, ids: Sequence[str]) -> dict[str, str]:
    """{event id: succeeded|failed|busy}; what still has an attempt left is busy."""
    words = {"delivered": "succeeded", "given_up": "failed"}
    return {id: words.get(state, "busy") for id, state in (await app.events.states(ids)).items()}
