"""The situations of tests/cases that speak of automations, after public bug reports, come out as a user expects."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.embedded.smtp_sink import SmtpSink
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.automations import automation_of, logs_of
from tests.support.cases import FOLDER, oid, plant, read
from tests.support.stand_ins.twilio import Twilio
from tests.support.world import World

AUTOMATION = oid("e")


class ScriptedSink(SmtpSink):
    """Answers RCPT by the address, as the `smtp_script.json` of a case says."""

    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__()
        self.answers = answers
        self.asked: Counter[str] = Counter()
        self.order: list[str] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        self.asked[address] += 1
        self.order.append(address)
        if refusal := self.answers.get(address):
            return refusal
        return await super().handle_RCPT(server, session, envelope, address, options)


@pytest.fixture
async def sink() -> AsyncIterator[ScriptedSink]:
    sink = ScriptedSink(read("24-one-bad-recipient", "smtp_script.json")["rcpt"])
    await sink.start()
    yield sink
    await sink.stop()


@pytest.fixture
def mailing(environment: dict[str, str], sink: ScriptedSink) -> Settings:
    return settings.from_environment({**environment, **sink.environment()})


async def mails(sink: ScriptedSink) -> list[tuple[str, EmailMessage]]:
    """(recipient, message), in the order of arrival."""
    records = await Sink(sink.environment()["SMTP_SINK_URL"]).records()
    return [
        (to, message_from_bytes(one["message"].encode("latin-1"), policy=default))
        for one in records
        for to in one["recipients"]
    ]


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).strip()


def marked(world: World, field: str, automation: ObjectId = AUTOMATION) -> list[int]:
    """The numbers of the deals whose field names the automation."""
    found = world.db["deals"].find({field: automation}).sort("_id")
    return [int(str(one["_id"])[-6:], 16) for one in found]


async def test_22_subjects_and_texts_are_not_escaped_and_names_are_not_run(
    world: World, environment: dict[str, str], sink: ScriptedSink
) -> None:
    plant("22-subject-as-text", world.db)
    expected = read("22-subject-as-text")
    async with Twilio() as twilio:
        given = settings.from_environment({**environment, **sink.environment(), **twilio.environment()})
        await run_once(given, ["deals.automations"])
        bodies = {one.to: one.body for one in twilio.messages}

    sent = dict(await mails(sink))
    for mail in expected["mails"]:
        message = sent.get(mail["to"])
        if "either" in mail:  # either is fine, if nothing is smuggled in
            assert message is None or (message["Bcc"] is None and len(message.get_all("Subject", [])) == 1)
            continue
        assert message is not None
        assert message["Subject"] == mail["subject_decoded"]
        assert part(message, "plain") == mail.get("text_part", part(message, "plain"))
        if "html_part_has" in mail:
            html = part(message, "html")
            assert unescape(html) == mail["html_part_unescaped_once"]
            assert mail["html_part_has"] in html
            assert mail["html_part_has_not"] not in html
    assert "thief@evil.example" not in sink.asked
    assert expected["sms_bodies"].items() <= bodies.items()


async def test_24_one_bad_recipient_keeps_no_other_from_its_mail(
    world: World, mailing: Settings, sink: ScriptedSink
) -> None:
    plant("24-one-bad-recipient", world.db)
    expected = read("24-one-bad-recipient")

    await run_once(mailing, ["deals.automations"])
    sent = Counter(to for to, _ in await mails(sink))
    await run_once(mailing, ["deals.automations"])

    assert sent == dict.fromkeys(expected["mails_exactly_one_to"], 1)
    assert Counter(to for to, _ in await mails(sink)) == sent
    assert marked(world, "automation_failed") == expected["deals"]["automation_failed"]
    assert len(marked(world, "automation_triggered")) == expected["automation_logs"]["success"]
    failed = {
        int(str(one["deal"])[-6:], 16): one["message"] for log in logs_of(world, AUTOMATION) for one in log["failed"]
    }
    assert failed.keys() == {3, 7, 9, 12}
    for deal, word in ((3, "valid address"), (7, "550"), (9, "450"), (12, "suppressed")):
        assert word in failed[deal]
    assert (sink.asked["d7@post.example"], sink.asked["d9@post.example"]) == (1, 3)
    assert sink.order[-1] == "d9@post.example"  # no other waits for its attempts
    found = automation_of(world, AUTOMATION)
    assert (found["is_running"], found.get("paused_until")) == (False, None)


async def test_28_an_inactive_user_becomes_neither_owner_nor_follower(world: World, configured: Settings) -> None:
    plant("28-inactive-owner", world.db)

    for _ in range(2):  # the second pass finds nothing to try again
        await run_once(configured, ["deals.automations"])

    for deal in world.db["deals"].find():
        assert (deal["owner"], oid("b", 2) in deal["followers"]) == (oid("b", 1), False)
        assert deal["automation_failed"].count(oid("e", 1)) == 1
    for automation in (oid("e", 1), oid("e", 2)):
        messages = [one["message"] for log in logs_of(world, automation) for one in log["failed"]]
        assert messages == [f"inactive users: {oid('b', 2)}"] * 2  # one attempt for each deal
        assert not any(log["success"] for log in logs_of(world, automation))
    assert not world.db["automation_units"].count_documents({"attempts": {"$gt": 1}})


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
async def test_29_times_do_not_depend_on_the_account_s_zone(world: World, configured: Settings, zone: str) -> None:
    plant("29-reminder-timezone", world.db, _accounts={"timezone": zone})
    before = datetime.now(UTC)

    await run_once(configured, ["deals.automations"])

    (reminder,) = world.db["reminders"].find()
    (expected,) = read("29-reminder-timezone")["reminders"]
    assert (reminder["type"], reminder["title"]) == (expected["type"], expected["title"])
    low, high = expected["due_at_minus_time_of_action_seconds"]["between"]
    assert low <= (reminder["due_at"] - reminder["createdAt"]).total_seconds() <= high
    assert reminder["createdAt"].replace(microsecond=0) >= before.replace(microsecond=0)
    assert [one["text"] for one in world.db["notes"].find()] == read("29-reminder-timezone")["notes"]


async def test_30_null_lists_stop_nothing(world: World, configured: Settings) -> None:
    plant("30-null-lists", world.db)
    expected = read("30-null-lists")

    await run_once(configured, ["deals.automations"])
    first = list(world.db["deals"].find().sort("_id"))
    await run_once(configured, ["deals.automations"])

    assert list(world.db["deals"].find().sort("_id")) == first
    for deal in first:
        wanted = expected["deals"][deal["name"]]
        assert [[*map(str, deal[name])] for name in ("tags", "followers")] == [wanted["tags"], wanted["followers"]]
        assert str(deal["owner"]) == wanted["owner"]
        assert len(deal["automation_triggered"]) == wanted["automation_triggered_count"]
    assert world.db["notes"].count_documents({}) == expected["notes"]
    logs = list(world.db["automation_logs"].find())
    assert sum(len(log["success"]) for log in logs) == expected["logs"]["success"]
    assert not any(log["failed"] for log in logs)
    assert not world.db["automations"].count_documents({"is_running": True})


async def test_31_a_deal_that_an_import_makes_fires_once(world: World, mailing: Settings, sink: ScriptedSink) -> None:
    plant("31-fires-once-on-create", world.db)
    expected = read("31-fires-once-on-create")
    world.submit(
        (FOLDER / "31-fires-once-on-create" / "deals.csv").read_text(),
        expected["mappings"],
        account_id=oid("a"),
        user_id=oid("b"),
        additional_data={"pipeline_id": oid("1a")},
    )

    for _ in range(2):
        await asyncio.gather(*(run_once(mailing, ["deals.import", "deals.automations"]) for _ in range(2)))

    deals = list(world.db["deals"].find())
    assert (len(deals), {deal["stage_id"] for deal in deals}) == (expected["deals"], {oid("c", 1)})
    sent = Counter(to for to, _ in await mails(sink))
    assert (len(sent), set(sent.values())) == (expected["deals"], {expected["mails_per_recipient"]})
    notes = Counter(note["deal_id"] for note in world.db["notes"].find())
    assert (len(notes), set(notes.values())) == (expected["deals"], {expected["notes_per_deal"]})
    assert world.db["pipeline_stages"].count_documents({"name": ""}) == 0
