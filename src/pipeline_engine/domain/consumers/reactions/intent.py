"""Intent signals: what a contact did, in points. Its scores follow, and a level that is crossed is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.domain.events.publisher import caused_by
from pipeline_engine.domain.events.relay import crm_event, publish_due
from pipeline_engine.domain.scoring import DECAY_PER_DAY, intent_level, intent_score, number_or
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from pipeline_engine.repos.contacts import CONTACTS

POINTS = {
    "page.viewed": ("page_view", 5),
    "email.opened": ("email_open", 3),
    "email.clicked": ("email_click", 10),
    "form.submitted": ("form_submission", 20),
    "demo.requested": ("demo_request", 50),
}
"""By type of event, the type of its signal and its points."""
TYPES = frozenset(POINTS)


async def add_signals(
    app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]
) -> Mapping[Any, Exception]:
    """Store a signal for each event and score its contact again, by all of its signals."""
    by_contact = {event.contact: event for event in events if event.contact}
    contacts = await app.repos.contacts.find(account_id, [*by_contact], "_id")
    known = {id: event for id, event in by_contact.items() if id in contacts}
    if not known:
        return {}
    # Events whose contact has several keys may come together, so every one of them gets its signal.
    signals = [_signal(account_id, event) for event in events if event.contact in known]
    await app.repos.contact_records.add_signals(signals)
    profile = await app.repos.business_profiles.get(account_id)
    stored = await app.repos.contact_records.signals(account_id, [*known])
    for id, event in known.items():
        await _score(app, account_id, id, stored.get(id, []), profile, event)
    return {}


def _signal(account_id: ObjectId, event: Event) -> Document:
    type, points = POINTS[event.type]
    own = {"_id": derived_id("intent_signal", account_id, event.id), "account_id": account_id}
    what = {"contact_id": event.contact, "type": type, "points": points, "occurred_at": event.occurred_at}
    return {**own, **what, "event_id": event.id}


async def _score(
    app: App[ConsumerRepos],
    account_id: ObjectId,
    contact: ObjectId,
    signals: Sequence[Document],
    profile: Document,
    event: Event,
) -> None:
    decay = number_or(profile.get("decay_per_day"), DECAY_PER_DAY)
    score = intent_score(signals, app.clock.now(), decay)
    level = intent_level(score, profile)
    id = f"intent.crossed:{event.id}:{contact}"
    data = {"contact_id": str(contact), "level": level, "score": score}
    crossed = {**crm_event(id, "intent.crossed", None, data), "cause": caused_by(event.document)}
    await app.repos.contacts.set_intent(account_id, contact, score, level, crossed)
    due = (await app.repos.contacts.find(account_id, [contact], "account_id", "events_due")).get(contact, {})
    if due.get("events_due"):
        await publish_due(app, CONTACTS, due)
