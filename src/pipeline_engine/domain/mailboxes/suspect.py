"""Finds the message that breaks connections or ends processes, and parks it, so that those behind it are read.

After a run that failed or died, the first messages of each folder are taken one by one, each noted in the mailbox's
document before. One that two such runs came to and did not get past is left out. It may be innocent, as processes also
end for other reasons: the reconcile of a few nights tries it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_engine.domain.mailboxes.mailbox_pass import FolderPlace, MailboxPass
from pipeline_engine.domain.mailboxes.take_in import leave_out, take_in
from pipeline_engine.repos.email_parked import PARKED, LeftOut

MAX_TRIES = 2


async def begun(this: MailboxPass, place: FolderPlace, uids: Sequence[int]) -> None:
    """Note, while care is taken, which message is taken next, and how often it was."""
    if not this.care[place.folder]:
        return
    now = {"folder": place.folder, "uidvalidity": place.uidvalidity, "uid": uids[0]}
    before = dict(this.document.get("trying") or {})
    tries = before.pop("tries", 0)
    again = tries + 1 if before == now and isinstance(tries, int) else 1
    await this.claim.change(trying={**now, "tries": again})


def got_past(this: MailboxPass, place: FolderPlace) -> None:
    """The message was taken in: so many fewer need care."""
    this.care[place.folder] = max(0, this.care[place.folder] - 1)


async def park_suspect(this: MailboxPass, place: FolderPlace) -> None:
    """Park the message of this folder that two runs in a row did not get past."""
    found = this.document.get("trying") or {}
    here = found.get("folder") == place.folder and found.get("uidvalidity") == place.uidvalidity
    tries, uid = found.get("tries"), found.get("uid")
    if not (here and isinstance(tries, int) and isinstance(uid, int) and tries >= MAX_TRIES):
        return
    if not await this.repos.email_messages.at(this.document, place.folder, place.uidvalidity, [uid]):
        reason = "runs that came to it ended, or lost their connection"
        await leave_out(this, place, [LeftOut(uid, PARKED, reason, can_retry=False)])
    await this.claim.change(trying=None)


async def retry_suspects(this: MailboxPass, place: FolderPlace, uids: Sequence[int]) -> int:
    """Try messages again that were parked by `park_suspect`, each on its own, and counted before. Returns how many were
    stored."""
    stored = 0
    for uid in uids:
        if await this.repos.email_parked.retried(this.document, place.folder, place.uidvalidity, uid):
            stored += await take_in(this, place, [uid], retry_parked=True)
    return stored
