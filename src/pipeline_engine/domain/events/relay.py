"""Carries events from where they became true to where they are heard.

The update that makes an event true writes it into `events_due` of its own document; the relay copies it under a fixed
id and then clears it there. So a crash repeats a step at most, and a repeat is recognised by the `event_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import DELIVER, RELAY
from pipeline_engine.domain.unit import Unit
from pipeline_engine.ids import object_id
from pipeline_engine.providers.sockets import Delivery
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.events_due import EventsDue

Document = Mapping[str, Any]

MAX_ATTEMPTS = 3
ATTEMPT_PAUSE_SECONDS = 15.0
"""From one attempt to the next. An attempt takes at most ten; a process that dies in one delays the event."""
MAX_FOUND = 200

log = logs.get(__name__)


def crm_event(event_id: str, type: str, user_id: Any, data: dict[str, Any]) -> dict[str, Any]:
    """An entry of `events_due` for `crm_events`."""
    return {"event_id": event_id, "to": "crm_events", "type": type, "user_id": user_id, "data": data}


def socket_event(event_id: str, event: str, user_ids: Sequence[str], data: dict[str, Any]) -> dict[str, Any]:
    """An entry of `events_due` for the users who are looking on."""
    return {"event_id": event_id, "to": "socket", "event": event, "user_ids": list(user_ids), "data": data}


async def pass_on(app: App, spec: CollectionSpec, document: Document) -> None:
    """Publish every event that is due in a document of the collection, then clear it there."""
    for due in document["events_due"]:
        await _publish(app, document.get("account_id"), due)
    await EventsDue(app.store, spec).clear(document)


async def _publish(app: App, account_id: Any, due: Document) -> None:
    entry = {key: value for key, value in due.items() if key not in ("event_id", "to")}
    entry |= {"_id": due["event_id"], "account_id": account_id}
    if due["to"] == "crm_events":
        await app.shared.events.publish({**entry, "occurred_at": app.clock.now()})
    else:
        await app.shared.events.send(entry)


async def find(app: App) -> list[Unit]:
    """Events that a crash left in their documents, and socket events whose time has come."""
    left = [unit for spec in _sources(app).values() for unit in await _left_behind(app, spec)]
    waiting = await app.shared.events.waiting(MAX_FOUND)
    return [*left, *(Unit.of(DELIVER, message["_id"], message["account_id"]) for message in waiting)]


def _sources(app: App) -> dict[str, CollectionSpec]:
    return {spec.name: spec for spec in app.collections if spec.has_events_due}


async def _left_behind(app: App, spec: CollectionSpec) -> list[Unit]:
    found = await EventsDue(app.store, spec).ids(MAX_FOUND)
    return [Unit.of(RELAY, f"{spec.name}:{one['_id']}", one.get("account_id")) for one in found]


async def run_relay(app: App, _cache: None, id: str) -> None:
    """Pass on what is due in one document, unless that has been done."""
    collection, _, document_id = id.partition(":")
    spec = _sources(app)[collection]
    if document := await EventsDue(app.store, spec).get(_document_id(document_id)):
        await pass_on(app, spec, document)


def _document_id(text: str) -> ObjectId | str:
    return object_id(text) or text


async def run_delivery(app: App, _cache: None, event_id: str) -> None:
    """Make one attempt to deliver a socket event, unless it was delivered, given up or put off."""
    events = app.shared.events
    message = await events.message(event_id)
    if message is None:
        return
    if message["attempts"] >= MAX_ATTEMPTS:  # the last attempt was made, but a crash came before its result
        await _give_up(app, message)
        return
    if not await events.attempt(message, again_in=ATTEMPT_PAUSE_SECONDS):
        return
    sent = await app.sockets.emit(message["event"], message["_id"], message["user_ids"], message["data"])
    if sent is Delivery.ACKNOWLEDGED:
        await events.settle(message, "delivered")
    elif sent is Delivery.UNSENT:
        await events.take_back(message)
    elif message["attempts"] + 1 >= MAX_ATTEMPTS:
        await _give_up(app, message)


async def _give_up(app: App, message: Document) -> None:
    log.warning("socket_event.given_up", event_id=message["_id"], socket_event=message["event"])
    await app.shared.events.settle(dict(message), "given_up")


async def outcomes(app: App, ids: Sequence[str]) -> dict[str, str]:
    """{unit id: succeeded|failed|busy}; an event that still has an attempt left is busy."""
    words = {"delivered": "succeeded", "given_up": "failed"}
    states = await app.shared.events.states(ids)
    return {id: words.get(states[id], "busy") if id in states else await _relayed(app, id) for id in ids}


async def _relayed(app: App, id: str) -> str:
    collection, _, document_id = id.partition(":")
    spec = _sources(app).get(collection)
    is_left = spec is not None and await EventsDue(app.store, spec).get(_document_id(document_id))
    return "busy" if is_left else "succeeded"
