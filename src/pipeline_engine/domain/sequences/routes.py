"""Through which mailbox each mail of a slice leaves: the one that sent the mail before, else the owner's, else none,
which means through SMTP_URL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import date, datetime, time, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.domain.credentials.refresh import fresh_token
from pipeline_engine.domain.local_time import first_instant
from pipeline_engine.domain.messages.message import Deliver, Recorded
from pipeline_engine.domain.sequences.work import Later, Results, SendSlice, SequenceEntry
from pipeline_engine.errors import EngineError, Permanent, RateLimited, Transient
from pipeline_engine.ids import object_id
from pipeline_engine.providers.email import Mailer
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.providers.mailbox_smtp import mailbox_sender, mailbox_server
from pipeline_engine.providers.public_host import PublicHosts

CONNECTIONS = 2
"""Connections to the mail server of one mailbox at a time."""
REST_SECONDS = 900.0
"""So long a mailbox rests that cannot be used, because of its password, say."""
ABOUT_THE_MAIL = frozenset({"recipient_refused", "smtp_refused", "bad_mail", "bad_address", "missing_address"})
"""Codes of refusals that say something of one mail and nothing of the mailbox."""
SPREAD = timedelta(seconds=1)

Document = Mapping[str, Any]
log = logs.get(__name__)


class Routes:
    """The ways that the mails of one slice take, with their connections: `async with Routes(slice, hosts)`."""

    def __init__(self, slice: SendSlice, hosts: PublicHosts) -> None:
        self._slice = slice
        self._hosts = hosts
        self._mailers: dict[Any, Mailer] = {}
        self._open = AsyncExitStack()
        self.known: dict[Any, Document] = {}
        """{id: mailbox} of all that were chosen so far."""
        self.without_copies: set[Any] = set()
        """The mailboxes that took no copy of a mail."""
        self._day = ""
        self._unused: dict[Any, int] = {}
        """{mailbox: how many mails of `_day` were counted against its cap and did not leave, as far as is certain}"""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def of(self, entries: Sequence[SequenceEntry]) -> dict[Any, Document]:
        """{id of the entry: the mailbox through which its mail leaves, or a mailbox of its owner that can only be read,
        to which answers go}; entries whose owner has none are missing."""
        repo, account = self._slice.app.repos.sender_mailboxes, self._slice.account_id
        before = {entry.id: id for entry in entries if (id := _id(entry.document, "email_account_id"))}
        sending = {str(one["_id"]): one for one in await repo.sending(account, [*{*before.values()}])}
        owners = {str(owner): owner for entry in entries if (owner := _id(entry.contact, "owner"))}
        owned: dict[str, Document] = {}
        for one in await repo.of_users(account, [*owners.values()]):
            known = owned.get(str(one.get("user_id")))
            if known is None or (can_send(one) and not can_send(known)):
                owned[str(one.get("user_id"))] = one
        chosen = {
            entry.id: sending.get(str(before.get(entry.id))) or owned.get(str(entry.contact.get("owner")))
            for entry in entries
        }
        found = {id: one for id, one in chosen.items() if one and _id(one, "_id")}
        self.known |= {one["_id"]: one for one in found.values()}
        return found

    async def within_caps(
        self, entries: Sequence[SequenceEntry], chosen: Mapping[Any, Document], now: datetime
    ) -> tuple[list[SequenceEntry], Results]:
        """The entries whose mail may leave now, and when the others may: no mailbox sends more than its daily cap, nor
        two mails within its gap. `give_back` follows the sends."""
        day = now.astimezone(self._slice.zone).date()
        self._day, self._unused = day.isoformat(), {}
        by_mailbox: dict[Any, list[SequenceEntry]] = defaultdict(list)
        free: list[SequenceEntry] = []
        for entry in entries:
            mailbox = chosen.get(entry.id)
            (by_mailbox[mailbox["_id"]] if mailbox and can_send(mailbox) else free).append(entry)
        late: list[tuple[SequenceEntry, Later]] = []
        for id, some in by_mailbox.items():
            allowed, waits = await self._allow(id, some, day, now)
            free += allowed
            late += waits
        return free, late

    async def _allow(
        self, id: Any, entries: list[SequenceEntry], day: date, now: datetime
    ) -> tuple[list[SequenceEntry], list[tuple[SequenceEntry, Later]]]:
        slice = self._slice
        allowance = await slice.app.repos.sender_mailboxes.allow(slice.account_id, id, len(entries), self._day, now)
        self._unused[id] = allowance.mails
        tomorrow = first_instant(datetime.combine(day + timedelta(days=1), time()), slice.zone)
        again = allowance.next_at or tomorrow
        late = entries[allowance.mails :]
        return entries[: allowance.mails], [(entry, Later(again + SPREAD * n)) for n, entry in enumerate(late)]

    async def give_back(self) -> None:
        """Take mails that did not leave, such as those that the slice had no time for, out of the counts of their
        mailboxes. What a crash leaves counted are fewer mails that day."""
        unused, self._unused = self._unused, {}
        for id, mails in unused.items():
            if mails:
                await self._slice.app.repos.sender_mailboxes.give_back(self._slice.account_id, id, mails, self._day)

    def sender(self, mailbox: Document | None, mail: Mail) -> Deliver:
        """What sends the mail."""
        if mailbox is None or not can_send(mailbox):
            return partial(self._slice.app.senders.mailer.send, mail)
        return partial(self._send, mailbox, mail)

    async def _send(self, mailbox: Document, mail: Mail, key: str, recorded: Recorded) -> str:
        self._unused[mailbox["_id"]] -= 1
        try:
            message_id = await (await self.mailer(mailbox)).send(mail, key, recorded)
        except (RateLimited, Transient):
            self._unused[mailbox["_id"]] += 1
            raise
        except Permanent as error:
            if error.code in ABOUT_THE_MAIL:
                raise
            self._unused[mailbox["_id"]] += 1
            raise await self._unusable(mailbox, error) from None
        if mailbox.get("send_error"):
            await self._slice.app.repos.sender_mailboxes.note(self._slice.account_id, mailbox["_id"], None)
        return message_id

    async def _unusable(self, mailbox: Document, error: EngineError) -> RateLimited:
        """The mail waits for a mailbox that cannot be used now: another sender would be a surprise."""
        repo, account = self._slice.app.repos.sender_mailboxes, self._slice.account_id
        await repo.note(account, mailbox["_id"], str(error))
        ids = {"account_id": str(account), "email_account_id": str(mailbox["_id"])}
        log.warning("mailbox.cannot_send", **ids, error=error, rest_seconds=REST_SECONDS)
        return RateLimited(REST_SECONDS, f"its mailbox cannot send: {error}")

    async def mailer(self, mailbox: Document) -> Mailer:
        """The connections to the mailbox's server, opened when they are needed. Raises: Permanent when its settings
        cannot be used."""
        if mailbox["_id"] not in self._mailers:
            app = self._slice.app
            token = partial(fresh_token, app, self._slice.account_id, mailbox.get("credential_id"))
            server = mailbox_server(
                mailbox,
                app.integrations.credentials.open(mailbox.get("password"), mailbox["_id"]),
                token if mailbox.get("credential_id") else None,
                self._hosts,
                app.settings.mail_ca_file,
            )
            mailer = Mailer.of_mailbox(server, mailbox_sender(mailbox), CONNECTIONS)
            self._mailers[mailbox["_id"]] = await self._open.enter_async_context(mailer)
        return self._mailers[mailbox["_id"]]


def _id(document: Document, name: str) -> Any:
    """The id in this field; None where it holds a value that is none, which would fail the query for all entries."""
    value = document.get(name)
    return value if isinstance(value, ObjectId | str | int) else None


def can_send(mailbox: Document) -> bool:
    """Whether the mailbox names a server that takes its mails."""
    smtp = mailbox.get("smtp")
    return isinstance(smtp, Mapping) and bool(smtp.get("host"))


def mailbox_of(chosen: Mapping[Any, Document], entry: SequenceEntry) -> Document | None:
    """The mailbox through which the entry's mail leaves; None for SMTP_URL."""
    mailbox = chosen.get(entry.id)
    return mailbox if mailbox and can_send(mailbox) and object_id(mailbox["_id"]) else None
