"""Publishes events and delivers socket events.

The update that makes an event true writes it into `events_due` of its own document. The relay copies it from there to
`crm_events` or `outbox` under its `event_id` and then clears it. A crash makes at most one step happen again, and a
repeated copy has the same id, so that it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.domain.events.jobs import DELIVER, RELAY
from pipeline_engine.domain.unit import Unit
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import Done, Outcome, Snooze
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.providers.sockets import Delivery
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.events import OUTBOX, EventsDue
from pipeline_engine.repos.quarantine import is_fault_of_document

Document = Mapping[str, Any]

MAX_ATTEMPTS = 3
ATTEMPT_PAUSE_SECONDS = 15.0
"""From one attempt to the next. An attempt takes at most 10 s; one that a crash ended costs the event this long."""
MAX_FOUND = 200
DELIVERY_SECONDS = 20.0
"""After this long a delivery goes to the end of its line, so that a slow service delays no other job of the lane."""
ACCOUNT_BUSY_SECONDS = 0.25
"""After this time a job looks again whether another job still delivers events of its account."""
TARGETS = ["crm_events", "socket"]

log = logs.get(__name__)


def crm_event(event_id: str, type: str, user_id: Any, data: dict[str, Any]) -> dict[str, Any]:
    """An entry of `events_due` for `crm_events`."""
    return {"event_id": event_id, "to": "crm_events", "type": type, "user_id": user_id, "data": data}


def socket_event(event_id: str, event: str, user_ids: Sequence[str], data: dict[str, Any]) -> dict[str, Any]:
    """An entry of `events_due` that is delivered over the socket service to these users."""
    return {"event_id": event_id, "to": "socket", "event": event, "user_ids": list(user_ids), "data": data}


async def publish_due(app: App, spec: CollectionSpec, document: Document) -> None:
    """Publish every event that is due in a document of the collection, then clear it there."""
    for due in document.get("events_due") or ():
        if not (_is_event(due) and await _publish(app, document.get("account_id"), due)):
            log.warning("event.malformed", collection=spec.name, id=str(document["_id"]), consequence="it is dropped")
    await EventsDue(app.store, spec).clear(document)


async def publish_all_due(app: App, spec: CollectionSpec, documents: Iterable[Document]) -> None:
    """As `publish_due`, for those of the documents that have events due."""
    for document in documents:
        if document.get("events_due"):
            await publish_due(app, spec, document)


def _is_event(due: object) -> bool:
    """Whether an entry of `events_due` is one that the engine wrote."""
    return isinstance(due, Mapping) and isinstance(due.get("event_id"), str) and due.get("to") in TARGETS


async def _publish(app: App, account_id: Any, due: Document) -> bool:
    """Returns False for an event that MongoDB cannot store as it is."""
    entry = {key: value for key, value in due.items() if key not in ("event_id", "to")}
    entry |= {"_id": due["event_id"], "account_id": account_id}
    try:
        if due["to"] == "crm_events":
            await app.shared.events.publish({**entry, "occurred_at": app.clock.now()})
        else:
            await app.shared.events.add_to_outbox(entry)
    except PyMongoError as error:
        if not is_fault_of_document(error):
            raise
        return False
    return True


async def find(app: App) -> list[Unit]:
    """Documents with events due, which a crash left, and socket events whose next attempt is due."""
    left = [unit for spec in _sources(app).values() for unit in await _left_behind(app, spec)]
    return [*left, *_deliveries(await app.shared.events.find_due(MAX_FOUND))]


def _deliveries(waiting: Sequence[Document]) -> Iterator[Unit]:
    """Socket events as units; the first of each account brings the job that delivers all of the account."""
    seen: set[str] = set()
    for message in waiting:
        id, account = message["_id"], repr(message.get("account_id"))
        yield Unit(str(id), account, () if account in seen else ((DELIVER, id),))
        seen.add(account)


def _sources(app: App) -> dict[str, CollectionSpec]:
    return {spec.name: spec for spec in app.collections if spec.has_events_due}


async def _left_behind(app: App, spec: CollectionSpec) -> list[Unit]:
    units = []
    for one in await EventsDue(app.store, spec).ids(MAX_FOUND):
        id = f"{spec.name}:{one['_id']}"
        if _document_id(str(one["_id"])) == one["_id"] and RELAY.can_name(id):
            units.append(Unit.of(RELAY, id, one.get("account_id")))
        else:
            await app.shared.quarantine.add(spec.name, one["_id"], "its events cannot be published: no job can name it")
    return units


async def run_relay(app: App, _delivering: set[str], id: str) -> None:
    """Publish the events due in the document `<collection>:<id>`; do nothing when it has none."""
    collection, _, document_id = id.partition(":")
    spec = _sources(app)[collection]
    if document := await EventsDue(app.store, spec).get(_document_id(document_id)):
        await publish_due(app, spec, document)


def _document_id(text: str) -> ObjectId | str:
    return object_id(text) or text


async def run_delivery(app: App, delivering: set[str], first_id: str) -> Outcome:
    """Make one attempt to deliver every due socket event of the account that the first one belongs to, the longest due
    first. `delivering` are the accounts of which this process delivers events now: each holds one place at most."""
    first = await app.shared.events.message(first_id)
    account = repr(first and first.get("account_id"))
    if first is None:
        return Done()
    if account in delivering:
        return Snooze(ACCOUNT_BUSY_SECONDS)
    delivering.add(account)
    try:
        return await _deliver_all(app, first)
    finally:
        delivering.discard(account)


async def _deliver_all(app: App, first: Document) -> Outcome:
    ends, tried = monotonic() + DELIVERY_SECONDS, set[str]()
    while due := [one for one in await app.shared.events.find_due(MAX_FOUND, first) if str(one["_id"]) not in tried]:
        for message in due:
            if monotonic() > ends:
                return Snooze()
            tried.add(str(message["_id"]))
            await _attempt(app, message)
    return Done()


async def _attempt(app: App, message: Document) -> None:
    try:
        await _deliver(app, message)
    except Exception as error:
        if not blames_document(error):
            raise
        await app.shared.quarantine.add(OUTBOX.name, message["_id"], f"cannot be delivered: {full(error)}")


async def _deliver(app: App, message: Document) -> None:
    if not isinstance(message["event"], str):
        # The socket library of the service raises an error for it and never acknowledges it.
        raise ValueError("`event`, the name under which it is emitted, is no text")
    events = app.shared.events
    if message["attempts"] >= MAX_ATTEMPTS:  # a crash ended the last attempt before its result was stored
        await _give_up(app, message)
        return
    if not await events.count_attempt(dict(message), again_in=ATTEMPT_PAUSE_SECONDS):
        return
    sent = await app.sockets.emit(message["event"], message["_id"], message["user_ids"], message["data"])
    if sent is Delivery.ACKNOWLEDGED:
        await events.end_delivery(dict(message), "delivered")
    elif sent is Delivery.UNSENT:
        await events.uncount_attempt(dict(message))
    elif message["attempts"] + 1 >= MAX_ATTEMPTS:
        await _give_up(app, message)


async def _give_up(app: App, message: Document) -> None:
    log.warning("socket_event.given_up", event_id=message["_id"], socket_event=message["event"])
    await app.shared.events.end_delivery(dict(message), "given_up")


async def outcomes(app: App, ids: Sequence[str]) -> dict[str, str]:
    """{unit id: succeeded|failed|busy}; an event that still has an attempt left is busy."""
    words = {"delivered": "succeeded", "given_up": "failed"}
    states = await app.shared.events.delivery_states(ids)
    return {id: words.get(states[id], "busy") if id in states else await _relayed(app, id) for id in ids}


async def _relayed(app: App, id: str) -> str:
    collection, _, document_id = id.partition(":")
    spec = _sources(app).get(collection)
    is_left = spec is not None and await EventsDue(app.store, spec).get(_document_id(document_id))
    return "busy" if is_left else "succeeded"
