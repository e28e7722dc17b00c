"""Intent decay: every signal loses points with age, and contacts' scores and levels follow.

What is left of a signal is computed from its points, its time and now. So nothing is subtracted twice, a day without a
daemon is made up for, and a run after a crash comes to the same scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.events.relay import crm_event, publish_all_due
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.scoring import DECAY_PER_DAY, has_expired, intent_level, intent_score, number_or
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contact_intent import Intent
from pipeline_engine.repos.contacts import CONTACTS

NAME = "crm.intent_decay"
SIGNALS_PER_PAGE = 2000

Signals = Mapping[ObjectId, Sequence[Document]]


async def run(work: JobWork) -> JobResult:
    """Score every contact again that has signals which have not expired; set the spent ones aside."""
    intent, after = work.app.repos.contact_intent, work.cursor.get("after", "")
    done = failed = 0
    while True:
        before, (contacts, after) = after, await intent.next_contacts(work.account_id, after, SIGNALS_PER_PAGE)
        if after == before:
            return JobResult(done, failed)
        work.check()
        changed, refused = await _score(work, contacts)
        done, failed = done + changed, failed + refused
        if work.is_over:
            return JobResult(done, failed, more=True, cursor={"after": after})


async def _score(work: JobWork, ids: Sequence[ObjectId]) -> tuple[int, int]:
    """Score these contacts. Returns how many scores were set and how many could not be."""
    repos, account_id = work.app.repos, work.account_id
    # Contacts are read before their signals, so that a score that changes in between is not overwritten.
    contacts = await repos.contacts.find(account_id, ids, "intent_score", "intent_level")
    signals = _by_contact(await repos.contact_intent.signals(account_id, ids))
    live, spent = _divided(work, signals)
    intents = changed_intents(work, contacts, live)
    failed = await repos.contact_intent.set(account_id, intents)
    await _publish(work, [id for id, one in intents.items() if one.crosses])
    await repos.contact_intent.expire(account_id, spent, work.now)  # last: until then a repeat finds the contact
    return len(intents) - failed, failed


def changed_intents(work: JobWork, contacts: Mapping[ObjectId, Document], live: Signals) -> dict[ObjectId, Intent]:
    """{contact: its new intent} of those whose score or level changes. Pure."""
    decay = number_or(work.profile.get("decay_per_day"), DECAY_PER_DAY)
    intents = {}
    for id, contact in contacts.items():
        score = intent_score(live.get(id, ()), work.now, decay)
        level = intent_level(score, work.profile)
        if (score, level) != (contact.get("intent_score"), contact.get("intent_level")):
            data = {"contact_id": str(id), "level": level, "score": score}
            event = crm_event(f"{NAME}:{id}:{work.slot}", "intent.crossed", None, data)
            before = (contact.get("intent_score"), contact.get("intent_level"))
            intents[id] = Intent(score, level, before, intent_level(number_or(before[0], 0), work.profile), event)
    return intents


def _divided(work: JobWork, signals: Signals) -> tuple[Signals, list[Any]]:
    """The signals that count, and the ids of those that have expired."""
    live: dict[ObjectId, list[Document]] = defaultdict(list)
    spent = []
    for id, some in signals.items():
        for one in some:
            if _has_expired(work, one):
                spent.append(one["_id"])
            else:
                live[id].append(one)
    return live, spent


def _has_expired(work: JobWork, signal: Mapping[str, Any]) -> bool:
    decay = number_or(work.profile.get("decay_per_day"), DECAY_PER_DAY)
    floor = work.profile.get("decay_floor")
    return has_expired(signal, work.now, decay, None if floor is None else number_or(floor, 0.0))


def _by_contact(signals: Sequence[Document]) -> dict[ObjectId, list[Document]]:
    found: dict[ObjectId, list[Document]] = defaultdict(list)
    for one in signals:
        if id := object_id(one["contact_id"]):
            found[id].append(one)
    return found


async def _publish(work: JobWork, ids: Sequence[ObjectId]) -> None:
    """Publish what became due with the changes; after a crash the relay does so."""
    if not ids:
        return
    found = await work.app.repos.contacts.find(work.account_id, ids, "account_id", "events_due")
    await publish_all_due(work.app, CONTACTS, found.values())


JOB = CrmJob(NAME, DailyAt(time(2)), run, after=("crm.contact_sync",))
