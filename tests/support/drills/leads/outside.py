"""The log that mail server and Twilio write, as tests stand in for them: lead stage, sequence, start and end of each
message that they took."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from datetime import datetime
from email import message_from_bytes
from types import TracebackType
from typing import NamedTuple, Self

from bson import ObjectId

from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.stand_ins.twilio import Twilio

UNIT = re.compile(r"<?lead[.:](\w{24})[.:](\d+)(?:@.*)?")


class Taken(NamedTuple):
    """One message that a provider took."""

    entry: ObjectId
    sequence: int
    started: datetime
    ended: datetime
    to: str

    @property
    def key(self) -> str:
        """Of its effect record."""
        return f"lead:{self.entry}:{self.sequence}"


class LeadOutside:
    """`async with LeadOutside() as outside`; on the test's own loop, so it serves only while the test waits."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: how long each message takes, so that two at a time would be seen to overlap."""
        self.mail, self.twilio = ScriptedSmtp(), Twilio()
        self.mail.seconds = self.twilio.seconds = seconds
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.mail)
        await self._open.enter_async_context(self.twilio)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def environment(self) -> dict[str, str]:
        return {"SMTP_URL": self.mail.url, "SMTP_FROM": "Sales <sales@crm.example>", **self.twilio.environment()}

    def log(self) -> list[Taken]:
        """Everything that was taken, repeats included, by time."""
        mails = [message_from_bytes(message) for message in self.mail.accepted]
        taken = [(one["Message-ID"], one["To"], times) for one, times in zip(mails, self.mail.times, strict=True)]
        texts = zip(self.twilio.messages, self.twilio.times, strict=True)
        taken += [(str(one.key), one.to, times) for one, times in texts]
        return sorted((_taken(key, to, *times) for key, to, times in taken), key=lambda one: one.started)


def _taken(key: str, to: str, started: datetime, ended: datetime) -> Taken:
    found = UNIT.fullmatch(key)
    assert found, f"a message without a lead: {key}"
    return Taken(ObjectId(found[1]), int(found[2]), started, ended, to)
