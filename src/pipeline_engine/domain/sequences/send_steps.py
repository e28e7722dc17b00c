"""Sends the mails of many enrolments that stand at one template: once each, within the limits of account and mailbox.

Each send has a record before its call, so that no crash repeats one unseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.events.jobs import wake_at
from pipeline_engine.domain.messages.earlier_sends import carry_over
from pipeline_engine.domain.messages.limits import rests_of, within_limit
from pipeline_engine.domain.messages.message import Deliver
from pipeline_engine.domain.messages.policy import Held
from pipeline_engine.domain.messages.send_result import (
    Delivered,
    GivenUp,
    HeldBack,
    Limited,
    NotYet,
    SendResult,
    rest_after,
)
from pipeline_engine.domain.messages.sending_results import sending_results
from pipeline_engine.domain.sequences.compose_steps import compose_steps
from pipeline_engine.domain.sequences.jobs import SEND
from pipeline_engine.domain.sequences.routes import Routes, mailbox_of
from pipeline_engine.domain.sequences.work import (
    Document,
    Later,
    Over,
    Result,
    Results,
    RetryTimes,
    SendSlice,
    Sent,
    SequenceEntry,
    send_keys,
)
from pipeline_engine.errors import Permanent, RateLimited
from pipeline_engine.lanes import RACE_SECONDS
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.providers.renderer import NotRendered

PLACES = 5
"""Calls of one job at a time: at most so many sends are in doubt after a kill."""

Mails = Mapping[Any, Mail]
"""{id of an enrolment: its mail}"""
Units = Mapping[SequenceEntry, Deliver | Held]
"""What sends the mail of each entry, or why it waits for the send window."""


async def send_steps(
    slice: SendSlice, routes: Routes, template_id: ObjectId, entries: Sequence[SequenceEntry]
) -> AsyncIterator[tuple[Results, Mails]]:
    """Send to the contact of each entry what the template becomes for it. Yields how steps ended, with their mails, as
    soon as that is known.

    Raises: Permanent when none can be sent, other errors when none can be sent now; LeaseLost.
    """
    chosen = await routes.of(entries)
    composed = await compose_steps(slice, template_id, entries, chosen)
    mails = {entry.id: mail for entry, mail in zip(entries, composed, strict=True) if isinstance(mail, Mail)}
    before = await _sent_before(slice, entries)
    yield [(entry, _sent(entry, mails, chosen)) for entry in entries if entry.id in before], mails
    open = [(entry, mail) for entry, mail in zip(entries, composed, strict=True) if entry.id not in before]
    held = {entry: reason for entry, reason in open if isinstance(reason, Held)}
    yield [(entry, _not_composed(slice, one)) for entry, one in open if not isinstance(one, Mail | Held)], mails
    granted, late = await _within(slice, [entry for entry, mail in open if isinstance(mail, Mail)])
    yield late, mails
    now, later = await routes.within_caps(granted, chosen, slice.app.clock.now())
    yield later, mails
    units: Units = {entry: routes.sender(mailbox_of(chosen, entry), mails[entry.id]) for entry in now}
    async for results in _send(slice, routes, {**units, **held}, mails, chosen):
        yield results, mails


def _not_composed(slice: SendSlice, reason: NotRendered) -> Result:
    match reason:
        case RateLimited():
            return Later(slice.app.clock.now() + timedelta(seconds=reason.retry_after))
        case Permanent(code="suppressed"):
            return Over("unsubscribed", str(reason))
    return Over("failed", str(reason))


async def _sent_before(slice: SendSlice, entries: Sequence[SequenceEntry]) -> set[Any]:
    """The ids of the enrolments whose step was sent by a process that died then, or before an operator had it
    retried."""
    crashed = {entry.key: entry.id for entry in entries if entry.document.get("crashes")}
    effects, account = slice.app.shared.effects, slice.account_id
    if crashed:
        await effects.mark_unknown(account, list(crashed))
    records = await effects.records(account, list(crashed)) if crashed else {}
    sent = {crashed[key] for key, record in records.items() if record["state"] == "sent"}
    keys = {entry.id: send_keys(entry.document, entry.step.number) for entry in entries}
    gone = await carry_over(slice.app, account, "email", {own[-1]: own[:-1] for own in keys.values() if own[:-1]})
    return sent | {id for id, own in keys.items() if own[-1] in gone}


async def _within(slice: SendSlice, entries: Sequence[SequenceEntry]) -> tuple[Sequence[SequenceEntry], Results]:
    """The entries that the account's limit allows now, and the others, spread over the minutes that follow."""
    grant = await within_limit(slice.app, slice.account_id, "email", len(entries)) if entries else None
    if grant is None or grant.units >= len(entries):
        return entries, []
    late, now = entries[grant.units :], slice.app.clock.now()
    rests = await rests_of(slice.app, slice.account_id, "email", len(late), grant.after)
    return entries[: grant.units], [(entry, Later(now + rest)) for entry, rest in zip(late, rests, strict=True)]


async def _send(
    slice: SendSlice, routes: Routes, units: Units, mails: Mails, chosen: Mapping[Any, Document]
) -> AsyncIterator[Results]:
    by_key = {entry.key: entry for entry in units}
    taken: set[str] = set()
    rests: dict[Any, float] = {}
    async for ended in sending_results(
        slice.app,
        slice.account_id,
        "email",
        {entry.key: unit for entry, unit in units.items()},
        still_wanted=_still_held(slice, by_key),
        places=PLACES,
        until=slice.until,
        attempts=slice.app.settings.sequence_attempts,
        when_hanging=lambda: _let_others_go_on(slice),
    ):
        taken |= ended.keys()
        rests |= {
            _mailbox_id(chosen, by_key[key]): rest
            for key, one in ended.items()
            if (rest := rest_after([one])) is not None
        }
        retry = RetryTimes(slice.app.clock.now(), slice.app.settings.sequence_retry_seconds)
        yield [(by_key[key], _result(by_key[key], one, retry, mails, chosen)) for key, one in ended.items()]
    await routes.give_back()  # before another job may take up what is left over
    yield _left_over(slice, [entry for key, entry in by_key.items() if key not in taken], rests, chosen)


def _result(
    entry: SequenceEntry, ended: SendResult, retry: RetryTimes, mails: Mails, chosen: Mapping[Any, Document]
) -> Result:
    match ended:
        case Delivered(message_id):
            return _sent(entry, mails, chosen, message_id or "")
        case GivenUp(error, code="recipient_refused"):
            return Over("bounced", error)
        case GivenUp(error):
            return Over("failed", error)
        case HeldBack():
            return Later(ended.until, held=ended.why)
        case Limited(after, why):
            return Later(retry.now + timedelta(seconds=after), held=why)
        case NotYet(error, attempts):
            return retry.after(attempts, error)


def _sent(entry: SequenceEntry, mails: Mails, chosen: Mapping[Any, Document], message_id: str = "") -> Sent:
    mailbox = mailbox_of(chosen, entry)
    mail = mails.get(entry.id)
    return Sent(mail.subject if mail else "", mailbox["_id"] if mailbox else None, message_id)


def _left_over(
    slice: SendSlice, entries: Sequence[SequenceEntry], rests: Mapping[Any, float], chosen: Mapping[Any, Document]
) -> Results:
    """What was not begun: it is due again at once, or when the mailbox that met a limit may send again."""
    now = slice.app.clock.now()
    after = {entry.id: rests.get(_mailbox_id(chosen, entry)) for entry in entries}
    times = {id: now + timedelta(seconds=rest) for id, rest in after.items() if rest is not None}
    return [(entry, Later(times.get(entry.id))) for entry in entries]


def _mailbox_id(chosen: Mapping[Any, Document], entry: SequenceEntry) -> Any:
    mailbox = mailbox_of(chosen, entry)
    return mailbox["_id"] if mailbox else None


def _still_held(
    slice: SendSlice, by_key: Mapping[str, SequenceEntry]
) -> Callable[[Collection[str]], Awaitable[Collection[str]]]:
    async def still_held(keys: Collection[str]) -> Collection[str]:
        by_claim: dict[Any, dict[Any, str]] = defaultdict(dict)
        for key in keys:
            by_claim[by_key[key].document["claim_id"]][by_key[key].id] = key
        repo, held = slice.app.repos.sequence_enrollments, set[str]()
        for claim_id, ids in by_claim.items():
            held |= {ids[id] for id in await repo.still_held(slice.account_id, claim_id, list(ids))}
        return held

    return still_held


async def _let_others_go_on(slice: SendSlice) -> None:
    """A call hangs: another job of the account takes what else is due."""
    at = slice.app.clock.now() + timedelta(seconds=RACE_SECONDS)
    await wake_at(slice.app, SEND, slice.account_id, at)
