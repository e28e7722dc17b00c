"""What an operator decides about jobs that were given up: which are meant, and whether to retry or discard them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import RETRY
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import JobKind, NewJob
from pipeline_engine.repos.job_store import EVERY_LETTER, LetterFilter

Letter = Mapping[str, Any]
Kinds = Mapping[str, JobKind[Any]]
"""{name of a kind of job: the kind}."""


async def find(
    app: App,
    kinds: Kinds,
    wanted: LetterFilter = EVERY_LETTER,
    account_id: ObjectId | None = None,
    event_type: str | None = None,
) -> list[Letter]:
    """The dead letters that are meant, neither retried nor discarded, the newest first.

    A letter belongs to the account that its job names or that owns the document of the job's unit. With `event_type`,
    only letters of events of that type are meant.
    """
    letters: Sequence[Letter] = await app.shared.job_store.letters("dead", wanted)
    if event_type is not None:
        letters = await _of_type(app, letters, event_type)
    return list(letters) if account_id is None else await _of_account(app, kinds, letters, account_id)


async def _of_type(app: App, letters: Sequence[Letter], event_type: str) -> list[Letter]:
    events = [letter for letter in letters if letter["function"] == RETRY.name]
    types = await app.shared.events.types([letter["job_id"] for letter in events])
    return [letter for letter in events if types.get(letter["job_id"]) == event_type]


async def _of_account(app: App, kinds: Kinds, letters: Sequence[Letter], account_id: ObjectId) -> list[Letter]:
    owned: set[str] = {str(account_id)}
    for name in {letter["function"] for letter in letters} & kinds.keys():
        owned |= await _owned(app, kinds[name], [one for one in letters if one["function"] == name], account_id)
    return [letter for letter in letters if _unit(letter) in owned]


async def _owned(app: App, kind: JobKind[Any], letters: Sequence[Letter], account_id: ObjectId) -> set[str]:
    """The units of these letters whose documents belong to the account, by their ids as text."""
    if not kind.collection:
        return set()
    ids = [id for letter in letters if (id := _id_of(kind, _unit(letter))) is not None]
    return {str(id) for id in await app.shared.job_store.owned(kind.collection, ids, account_id)}


def _unit(letter: Letter) -> str:
    """The id of the unit that the letter's job names; empty when it names none."""
    args = letter.get("args")
    return str(args[0]) if isinstance(args, list) and args else ""


def _id_of(kind: JobKind[Any], text: str) -> Any:
    try:
        return kind.read_id(text)
    except Exception:
        return None  # a letter of a newer engine, or one that was edited


async def retry(app: App, letter_id: ObjectId, edited: object = None) -> None:
    """Put the job back into its lane under its own id, with its attempts at zero.

    The same id means the same unit: effects that it had before are recognised, and what waits for the job (a chain, a
    group) goes on. A job of that id that waits in the lane, because a sweep has brought it back, gives way to it. One
    that runs, or has just died and is not settled yet, is followed by it.
    `edited` is a list of arguments in place of the job's own or, for an event, its new `data`.
    The job is enqueued before the letter is marked. A crash in between leaves a letter that can be retried again.

    Raises: Permanent `not_found`, `settled` or `data`; Unreachable when Redis is away.
    """
    letter = await _dead(app, letter_id)
    args = letter["args"] if edited is None else await _edit(app, letter, edited)
    job = NewJob(letter["function"], tuple(args), letter.get("kwargs") or {}, id=letter["job_id"])
    await app.queue.enqueue_many(letter["lane"], [job], duplicates="latest")
    facts = {} if edited is None else {"retried_with": edited}
    await app.shared.job_store.mark(letter_id, "retried", **facts)


async def _edit(app: App, letter: Letter, edited: object) -> list[Any]:
    """The arguments for the retry. Raises: Permanent."""
    if isinstance(edited, list):
        return edited
    if not isinstance(edited, dict) or letter["function"] != RETRY.name:
        raise Permanent("a list of arguments is wanted; an object is the new data of an event", "data")
    if not await app.shared.events.edit_dead(letter["job_id"], edited):
        raise Permanent(f"the event {letter['job_id']} is gone, or not dead any more", "not_found")
    return list(letter["args"])


async def discard(app: App, letter_id: ObjectId) -> None:
    """Mark the letter as discarded, so that its job is not retried; what waits for the job (a chain, a group) waits no
    more. Raises: Permanent `not_found` or `settled`; Unreachable when Redis is away."""
    letter = await _dead(app, letter_id)
    await app.queue.abandon(letter["lane"], letter["job_id"])
    await app.shared.job_store.mark(letter_id, "discarded")


async def _dead(app: App, letter_id: ObjectId) -> Letter:
    letter = await app.shared.job_store.letter(letter_id)
    if letter is None:
        raise Permanent(f"there is no dead letter {letter_id}", "not_found")
    if letter["status"] != "dead":
        raise Permanent(f"the dead letter {letter_id} was {letter['status']} already", "settled")
    return letter
