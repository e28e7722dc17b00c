"""Takes a batch of messages in: each that is new gets its row, stored, filtered or parked. A repeat changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from bson import ObjectId
from bson.errors import InvalidDocument
from pymongo.errors import OperationFailure

from pipeline_engine import logs
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.domain.mail.parsed_mail import parse_mail
from pipeline_engine.domain.mailboxes.followed import follow_mails
from pipeline_engine.domain.mailboxes.mailbox_pass import FolderPlace, MailboxPass
from pipeline_engine.domain.mailboxes.message_row import message_row, read_head
from pipeline_engine.domain.mailboxes.thread_assignment import ReadMail, put_in_threads
from pipeline_engine.errors import EngineError, Permanent
from pipeline_engine.lanes.classify_error import brief
from pipeline_engine.providers.mailbox import MessageHead
from pipeline_engine.providers.mailbox_errors import REFUSED, UNREADABLE_ANSWER
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.email_parked import FILTERED, PARKED, LeftOut

MAX_GROUP_BYTES = 4 * 2**20
MAX_GROUP = 100
"""So many messages, or so many bytes, one fetch asks for."""

Heads = dict[int, MessageHead]
log = logs.get(__name__)


async def take_in(this: MailboxPass, place: FolderPlace, uids: Sequence[int], retry_parked: bool = False) -> int:
    """See to it that each of the messages that exists has a row. Returns how many were stored.

    With `retry_parked` those that were parked are tried again. Raises: Transient when the connection breaks.
    """
    before = this.stored
    heads = await _heads(this, place, uids)
    wanted = await _new_ones(this, place, heads, retry_parked)
    for group in grouped(wanted, this.scope.max_bytes):
        this.claim.check()
        bodies = await _bodies(this, place, list(group))
        mails = await _mails(this, place, {uid: group[uid] for uid in bodies}, bodies)
        await put_in_threads(this, mails)
        await _store(this, place, mails)
        if retry_parked:
            await this.repos.email_parked.take_back(this.document, place.folder, place.uidvalidity, _uids(mails))
        await follow_mails(this, mails)
    return this.stored - before


async def _heads(this: MailboxPass, place: FolderPlace, uids: Sequence[int]) -> Heads:
    """The heads of the messages that exist. One that exists and is not returned, or not so that it can be read, is
    parked."""
    try:
        found = await this.mailbox.heads(uids)
    except Permanent as error:
        if error.code not in (UNREADABLE_ANSWER, REFUSED):
            raise
        return await _halved(this, place, uids, str(error))
    if missing := sorted(set(uids) - found.keys()):
        await _park_those_there(this, place, missing, "the mail server does not return it")
    return found


async def _halved(this: MailboxPass, place: FolderPlace, uids: Sequence[int], reason: str) -> Heads:
    if len(uids) == 1:
        await _park_those_there(this, place, uids, reason)
        return {}
    middle = len(uids) // 2
    return {**await _heads(this, place, uids[:middle]), **await _heads(this, place, uids[middle:])}


async def _park_those_there(this: MailboxPass, place: FolderPlace, uids: Sequence[int], reason: str) -> None:
    """Park those of the messages that exist: the search fails when it is the folder that is gone."""
    there = await this.mailbox.search([(uid, uid) for uid in uids])
    await leave_out(this, place, [LeftOut(uid, PARKED, reason) for uid in there])


async def _new_ones(this: MailboxPass, place: FolderPlace, heads: Heads, retry_parked: bool) -> Heads:
    """Those of the messages that have no row yet and are wanted; the others that have none get theirs here."""
    read = {uid: read_head(head) for uid, head in heads.items()}
    ids = [message_id for message_id, _ in read.values() if message_id]
    known = {one["message_id"]: one for one in await this.repos.email_messages.known(this.document, ids)}
    await _note_places(this, place, {uid: known[id] for uid, (id, _) in read.items() if id in known})
    seen = await this.repos.email_messages.at(this.document, place.folder, place.uidvalidity, list(heads))
    parked = this.repos.email_parked
    if retry_parked:
        stored = seen | {uid for uid, (id, _) in read.items() if id in known}
        await parked.take_back(this.document, place.folder, place.uidvalidity, sorted(stored))
    else:
        seen |= await parked.at(this.document, place.folder, place.uidvalidity, list(heads))
    new = {uid: both for uid, both in read.items() if both[0] not in known and uid not in seen}
    reasons = {uid: this.scope.leaves_out(heads[uid], new[uid][1], place.is_sent) for uid in new}
    await leave_out(this, place, [LeftOut(uid, FILTERED, why, new[uid][0]) for uid, why in reasons.items() if why])
    return {uid: heads[uid] for uid in new if not reasons[uid]}


async def _note_places(this: MailboxPass, place: FolderPlace, known: Mapping[int, Document]) -> None:
    """Follow messages that were moved or renumbered. A copy in another folder is noted as well: the place is where the
    message was seen last."""
    here = {"folder": place.folder, "uidvalidity": place.uidvalidity}
    moved = {
        row["_id"]: {**here, "uid": uid}
        for uid, row in known.items()
        if {name: row.get(name) for name in ("folder", "uidvalidity", "uid")} != {**here, "uid": uid}
    }
    await this.repos.email_messages.note_places(moved, this.document["account_id"])


def grouped(heads: Heads, max_bytes: int) -> Iterator[Heads]:
    """The messages, the newest first, in groups that one fetch may ask for. Pure."""
    group: Heads = {}
    size = 0
    for uid in sorted(heads, reverse=True):
        wanted = min(heads[uid].size, max_bytes)
        if group and (len(group) == MAX_GROUP or size + wanted > MAX_GROUP_BYTES):
            yield group
            group, size = {}, 0
        group[uid] = heads[uid]
        size += wanted
    if group:
        yield group


async def _bodies(this: MailboxPass, place: FolderPlace, uids: Sequence[int]) -> dict[int, bytes]:
    try:
        found = await this.mailbox.bodies(uids, this.scope.max_bytes)
    except Permanent as error:
        if len(uids) > 1:
            middle = len(uids) // 2
            return {**await _bodies(this, place, uids[:middle]), **await _bodies(this, place, uids[middle:])}
        await _park_those_there(this, place, uids, str(error))
        return {}
    this.count_bytes(sum(map(len, found.values())))
    if missing := sorted(set(uids) - found.keys()):
        await _park_those_there(this, place, missing, "the mail server does not return its text")
    return found


async def _mails(this: MailboxPass, place: FolderPlace, heads: Heads, bodies: Mapping[int, bytes]) -> list[ReadMail]:
    """The messages that can be read, with their rows; the others are parked."""
    now, document = this.app.clock.now(), this.document

    def parsed() -> tuple[list[ReadMail], list[LeftOut]]:
        mails, left_out = [], []
        for uid, head in heads.items():
            try:
                mail = parse_mail(bodies[uid])
                mails.append((message_row(document, place, uid, head, mail, now), mail))
            except Exception as error:  # whatever a mail does to the parser, its neighbours are stored
                left_out.append(LeftOut(uid, PARKED, _reason(error)))
        return mails, left_out

    mails, left_out = await asyncio.to_thread(parsed)
    await leave_out(this, place, left_out)
    return mails


async def _store(this: MailboxPass, place: FolderPlace, mails: list[ReadMail]) -> None:
    """Insert the rows. One that MongoDB refuses is parked, and taken out of `mails`."""
    refusals = await _add(this, [row for row, _ in mails])
    if refusals and len(mails) > 1:
        refusals = {id: error for row, _ in mails for id, error in (await _add(this, [row])).items()}
    left_out = [
        LeftOut(row["uid"], PARKED, _reason(refusals[row["_id"]]), row["message_id"])
        for row, _ in mails
        if row["_id"] in refusals
    ]
    await leave_out(this, place, left_out)
    mails[:] = [both for both in mails if both[0]["_id"] not in refusals]
    this.stored += len(mails)


async def _add(this: MailboxPass, rows: Sequence[Document]) -> dict[ObjectId, Exception]:
    """Insert rows. Returns {_id: error} of all of them when what stands in one of them is refused."""
    try:
        await this.repos.email_messages.add(rows)
    except (InvalidDocument, OperationFailure) as error:
        if not blames_document(error):
            raise
        return {row["_id"]: error for row in rows}
    return {}


async def leave_out(this: MailboxPass, place: FolderPlace, rows: Sequence[LeftOut]) -> None:
    """Store which messages get no row among the mails, and why."""
    if not rows:
        return
    await this.repos.email_parked.add(this.document, place.folder, place.uidvalidity, rows)
    this.left_out += len(rows)
    for one in rows:
        if one.state == PARKED:
            ids = {"id": str(this.document["_id"]), "account_id": str(this.document["account_id"])}
            log.warning("mail.parked", **ids, folder=place.folder, uid=one.uid, reason=one.reason)


def _reason(error: Exception) -> str:
    # The text of an unexpected error may quote the mail.
    return str(error) if isinstance(error, EngineError) else f"it cannot be read: {brief(error)}"


def _uids(mails: Sequence[ReadMail]) -> list[int]:
    return [row["uid"] for row, _ in mails]
