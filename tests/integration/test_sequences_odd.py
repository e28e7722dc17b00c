"""Sequences beside documents with values of any type: what is wrong with one keeps no neighbour from its mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex, Timestamp

from pipeline_engine import settings
from tests.support.sequences import SequenceApp, contact, enroll, enrollment, open_sequences, sequence, work
from tests.support.stand_ins.mail_server import MailServer
from tests.support.world import World

ODD: list[Any] = [
    {"a": [1]},
    [{"b": 2}],
    [],
    "",
    "text\0",
    "\ud800".encode("utf-8", "surrogatepass"),
    True,
    -1,
    Int64(2**62),
    float("nan"),
    float("inf"),
    Decimal128("1E+6000"),
    datetime(1, 1, 1, tzinfo=UTC),
    Regex("a(b"),
    Timestamp(1, 1),
]
OF_ENROLMENT = ("email_account_id", "step", "repeats", "steps")
OF_CONTACT = ("email", "owner", "timezone")
OF_MAILBOX = ("smtp", "min_gap_seconds", "sends", "_id")


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture
async def flow(environment: dict[str, str], server: MailServer) -> AsyncIterator[SequenceApp]:
    mail = {"SMTP_URL": server.url, "SMTP_FROM": "Sales <sales@crm.example>", "ALLOW_PRIVATE_HOSTS": "true"}
    async with open_sequences(settings.from_environment({**environment, **mail})) as app:
        yield app


@pytest.mark.parametrize(
    "field", [*(f"enrolment.{one}" for one in OF_ENROLMENT), *(f"contact.{one}" for one in OF_CONTACT)]
)
async def test_odd_values_harm_only_their_own(world: World, flow: SequenceApp, server: MailServer, field: str) -> None:
    kind, _, name = field.partition(".")
    id = sequence(world, 0)
    good = [enroll(world, id) for _ in range(3)]
    for value in ODD:
        person = contact(world, **({name: value} if kind == "contact" else {}))
        enroll(world, id, person, **({name: value} if kind == "enrolment" else {}))
    await work(flow, world)
    states = [enrollment(world, one) for one in good]
    assert [one["status"] for one in states] == ["completed"] * 3, states[0]


@pytest.mark.parametrize("field", OF_MAILBOX)
async def test_odd_mailboxes_harm_only_their_own(
    world: World, flow: SequenceApp, server: MailServer, field: str
) -> None:
    id = sequence(world, 0)
    good = [enroll(world, id) for _ in range(3)]
    smtp = {"host": "127.0.0.1", "port": server.port, "security": "none"}
    for value in ODD:
        user = ObjectId()
        own: dict[str, Any] = {
            "account_id": world.account,
            "user_id": user,
            "provider": "gmail",
            "username": "ann@crm.example",
        }
        own |= {"active": True, "smtp": smtp}
        if field == "_id" and isinstance(value, list | Regex):
            continue
        own[field] = value
        world.db["email_accounts"].insert_one(own)
        enroll(world, id, contact(world, owner=user))
    await work(flow, world)
    states = [enrollment(world, one) for one in good]
    assert [one["status"] for one in states] == ["completed"] * 3, states[0]
