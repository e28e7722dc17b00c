"""At night as by day: a folder that cannot be read keeps no other from its turn."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from pipeline_engine.clock import Clock
from pipeline_engine.domain.mailboxes.mailbox_pass import MailboxPass
from pipeline_engine.domain.mailboxes.reconcile import reconcile
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.mailbox_errors import LOGIN, REFUSED, UNREADABLE_ANSWER
from pipeline_engine.providers.mailbox_folder import FolderStatus, MailboxFolder

BROKEN = MailboxFolder("Broken", frozenset())
UNCHANGED = MailboxFolder("Unchanged", frozenset(), FolderStatus(1, 8, 7, modseq=5))
CLOCK = Clock()


class NightClaim:
    """The claim of a mailbox whose night has come; `looked_at` are the folders behind which a look at them lies."""

    def __init__(self) -> None:
        states = {UNCHANGED.name: {"clean": [1, 8, 7, 5]}}
        due = CLOCK.now() - timedelta(hours=1)
        self.document: dict[str, Any] = {"_id": ObjectId(), "folders": states, "reconcile_due_at": due}
        self.looked_at: set[str] = set()

    async def change(self, **values: Any) -> None:
        self.document |= values
        self.looked_at |= {name for name, state in self.document["folders"].items() if state.get("checked")}


def night(code: str) -> tuple[MailboxPass, NightClaim]:
    """A pass of a mailbox that opens no folder, for an error of this code."""

    async def refuse(_folder: str) -> FolderStatus:
        raise Permanent("no", code)

    app, claim = SimpleNamespace(clock=CLOCK), NightClaim()
    return MailboxPass(cast("Any", app), cast("Any", claim), cast("Any", SimpleNamespace(open=refuse)), care=0), claim


@pytest.mark.parametrize("code", [REFUSED, UNREADABLE_ANSWER])
async def test_a_folder_that_cannot_be_read_is_a_problem_of_its_own(code: str) -> None:
    this, claim = night(code)
    this.problems.append("Broken: no")  # as the day's part of the same pass has noted
    assert await reconcile(this, [BROKEN, UNCHANGED]) is False
    assert this.problems == ["Broken: no"]
    assert claim.looked_at == {"Unchanged"}
    assert claim.document["reconcile_due_at"] > CLOCK.now()


async def test_what_concerns_the_whole_mailbox_ends_the_pass() -> None:
    this, _ = night(LOGIN)
    with pytest.raises(Permanent):
        await reconcile(this, [BROKEN, UNCHANGED])
