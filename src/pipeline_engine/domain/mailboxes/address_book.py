"""Whose the addresses in a batch of mails are: contacts and open leads are asked for once, for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.addresses import spellings_of
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.people import MAX_FOUND

Find = Callable[[Sequence[str]], Awaitable[list[Document]]]
Rows = Mapping[str, Sequence[Document]]
CLOSED = ("won", "lost")


class AddressBook:
    """The contacts and leads of an account by e-mail address.

    Of `addresses` they are read together, when the first of these is asked for; of any other when it is asked for.
    """

    def __init__(self, app: App[Any], account_id: ObjectId, addresses: Iterable[str] = ()) -> None:
        self.account_id = account_id
        people, shared = app.shared.people, frozenset(one.lower() for one in addresses if _is_plain(one))
        self._contacts = _Page(partial(people.contacts, account_id, "email"), shared)
        self._leads = _Page(partial(people.leads, account_id, "email"), shared)

    async def contacts(self, *addresses: str) -> list[Document]:
        """The account's contacts with one of these addresses, always in the same order: the first is the one to whom a
        mail belongs."""
        return sorted(await self._contacts.rows(addresses), key=lambda one: str(one["_id"]))

    async def open_leads(self, address: str) -> list[Any]:
        """The ids of the account's leads with the address that are neither won nor lost, always in the same order."""
        found = [one["_id"] for one in await self._leads.rows([address]) if one.get("status") not in CLOSED]
        return sorted(found, key=str)


class _Page:
    """Rows of one collection by address."""

    def __init__(self, find: Find, shared: frozenset[str]) -> None:
        self._find = find
        self._shared = shared
        self._asking = asyncio.Lock()
        self._answers: list[Rows | None] = []

    async def rows(self, addresses: Sequence[str]) -> list[Document]:
        asked = list(dict.fromkeys(one.lower() for one in addresses if one))
        known = await self._known() if asked and self._shared.issuperset(asked) else None
        if known is not None:
            return [row for one in asked for row in known.get(one, ())]
        spellings = [form for one in addresses if one for form in spellings_of("email", one)]
        return await self._find(spellings) if spellings else []

    async def _known(self) -> Rows | None:
        """What is known of the shared addresses. One caller asks, and the others wait for its answer."""
        async with self._asking:
            if not self._answers:
                self._answers.append(by_address(await self._find(sorted(self._shared)), self._shared))
            return self._answers[0]


def by_address(found: Sequence[Document], addresses: frozenset[str]) -> Rows | None:
    """{address in lower case: its rows}; None where that is not certain, so that each address is asked for by itself.

    MongoDB compares without case as Unicode does, so that it may find what Python does not take for the same; a record
    may have a list of addresses; and there may be more than one answer holds. Pure.
    """
    rows = defaultdict[str, list[Document]](list)
    for row in found:
        rows[str(row.get("email")).lower()].append(row)
    is_certain = len(found) < MAX_FOUND and addresses.issuperset(rows)
    return rows if is_certain else None


def _is_plain(address: str) -> bool:
    """Whether no other spelling than one in another case is the same address to MongoDB."""
    return bool(address) and address.isascii() and address.isprintable()
