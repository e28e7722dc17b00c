"""The mail server, Twilio and the CRM's API as a test stands in for them: they remember all that reached them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from email import message_from_bytes
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.stand_ins.crm_api import CrmApi
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.stand_ins.twilio import Twilio

UNIT = re.compile(r"<(\w{24})\.(\w{24})\.([\w.]+)@[\w.]+>")


class Arrival(NamedTuple):
    """One thing that a provider took: for which unit, and for whom (an address, a number, an account)."""

    unit: str
    to: str


class Outside:
    """`async with Outside(secret) as outside`; on the test's own loop, so it serves only while the test waits."""

    def __init__(self, secret: str) -> None:
        """`secret`: with which the engine signs its tokens."""
        self.mail, self.twilio, self.crm = ScriptedSmtp(), Twilio(), CrmApi(secret)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for server in (self.mail, self.twilio, self.crm):
            await self._open.enter_async_context(server)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def environment(self) -> dict[str, str]:
        mail = {"SMTP_URL": self.mail.url, "SMTP_FROM": "Sales <sales@crm.example>"}
        return {**mail, **self.twilio.environment(), **self.crm.environment()}

    def arrivals(self) -> list[Arrival]:
        """Everything that was taken, repeats included."""
        return [*map(_mail, self.mail.accepted), *self._messages(), *self._made()]

    def _messages(self) -> Iterator[Arrival]:
        for message in self.twilio.messages:
            yield Arrival(str(message.key), message.to)

    def _made(self) -> Iterator[Arrival]:
        for key in (*self.crm.made, *self.crm.repeats):
            yield Arrival(key, self.crm.made[key]["account_id"])


def _mail(message: bytes) -> Arrival:
    """The unit as the Message-ID names it."""
    headers = message_from_bytes(message)
    found = UNIT.fullmatch(headers["Message-ID"])
    return Arrival(":".join(found.groups()) if found else headers["Message-ID"], headers["To"])
