"""Of a batch of mails, contacts and leads are asked for once; what one question cannot answer is asked singly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.mailboxes.address_book import AddressBook
from pipeline_engine.repos.people import People
from tests.support.crm_events import contact
from tests.support.engine_app import EngineApp
from tests.support.world import World

ADDRESSES = [f"p{n}@example.com" for n in range(30)]


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many spellings contacts were asked for, question by question."""
    asked, real = list[int](), People.contacts

    async def counted(self: Any, account_id: Any, channel: Any, spellings: Any) -> list[dict[str, Any]]:
        asked.append(len(spellings))
        return await real(self, account_id, channel, spellings)

    monkeypatch.setattr(People, "contacts", counted)
    return asked


async def test_all_callers_share_one_question(world: World, app: EngineApp, questions: list[int]) -> None:
    ids = [contact(world, email=one.upper()) for one in ADDRESSES[:10]]
    twin = contact(world, email=ADDRESSES[3])
    book = AddressBook(app, world.account, ADDRESSES)

    found = await asyncio.gather(*(book.contacts(one) for one in ADDRESSES))
    both = await book.contacts(ADDRESSES[1], "", ADDRESSES[0])

    assert [{row["_id"] for row in rows} for rows in found[:10]] == [
        {id, twin} if n == 3 else {id} for n, id in enumerate(ids)
    ]
    assert found[10:] == [[]] * 20
    assert [row["_id"] for row in both] == ids[:2]
    assert len(questions) == 1


async def test_an_address_beyond_the_batch_is_asked_for_by_itself(
    world: World, app: EngineApp, questions: list[int]
) -> None:
    other = contact(world, email="other@example.com")
    book = AddressBook(app, world.account, ["é@example.com", *ADDRESSES])
    assert [row["_id"] for row in await book.contacts("Other@example.com")] == [other]
    assert await book.contacts("é@example.com") == await book.contacts("") == []
    assert questions == [2, 1]


@pytest.mark.parametrize(
    "email", ["\uff50\uff13@example.com", "p3\u200b@example.com", ["p3@example.com", "x@y.example"]]
)
async def test_what_only_mongodb_takes_for_the_same_address_is_found(world: World, app: EngineApp, email: Any) -> None:
    """Letters of full width, characters without width, and lists of addresses."""
    world.db["contacts"].insert_one({"_id": (odd := ObjectId()), "account_id": world.account, "email": email})
    well = contact(world, email=ADDRESSES[5])
    book = AddressBook(app, world.account, ADDRESSES)
    alone = AddressBook(app, world.account)
    assert [row["_id"] for row in await book.contacts(ADDRESSES[3])] == [odd]
    assert [row["_id"] for row in await alone.contacts(ADDRESSES[3])] == [odd]
    assert [row["_id"] for row in await book.contacts(ADDRESSES[5])] == [well]


async def test_leads_that_are_won_or_lost_are_not_open(world: World, app: EngineApp) -> None:
    leads = {status: ObjectId() for status in ("open", "won", "lost", None)}
    for status, id in leads.items():
        row = {"_id": id, "account_id": world.account, "email": ADDRESSES[0], "status": status}
        world.db["leads"].insert_one(row)
    book = AddressBook(app, world.account, ADDRESSES)
    assert set(await book.open_leads(ADDRESSES[0])) == {leads["open"], leads[None]}
    assert await book.open_leads(ADDRESSES[1]) == []


async def test_a_question_that_fails_is_asked_again(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = contact(world, email=ADDRESSES[0])
    book = AddressBook(app, world.account, ADDRESSES)

    async def failing(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(book._contacts, "_find", failing)
        with pytest.raises(ConnectionError):
            await book.contacts(ADDRESSES[0])
    assert [row["_id"] for row in await book.contacts(ADDRESSES[0])] == [id]
