"""What the sending actions compose: for whom there is a message, what it says, and why there is none for others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.automations.action import SendMessage
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.messages.message import Deliver
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.errors import Permanent
from tests.support.automations import deal_of, run
from tests.support.engine_app import EngineApp, open_app
from tests.support.stand_ins.crm_api import CrmApi
from tests.support.stand_ins.twilio import Twilio
from tests.support.world import Document, World

JOHN = {"contact_name": "John & Co", "contact_email": "john@acme.com", "contact_phone": "+1 555 123 4567"}


@pytest.fixture
async def sink(servers: dict[str, str]) -> AsyncIterator[Sink]:
    sink = Sink(servers["SMTP_SINK_URL"])
    await sink.clear()
    yield sink
    await sink.clear()


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        yield twilio


@pytest.fixture
async def crm(environment: dict[str, str]) -> AsyncIterator[CrmApi]:
    async with CrmApi(environment["APP_SECRET"]) as crm:
        yield crm


@pytest.fixture
async def app(environment: dict[str, str], twilio: Twilio, crm: CrmApi) -> AsyncIterator[EngineApp]:
    mail = {"SMTP_FROM": "Sales <sales@crm.example>"}
    given = settings.from_environment({**environment, **mail, **twilio.environment(), **crm.environment()})
    async with open_app(given) as app:
        yield app


@pytest.fixture
def neighbour(world: World) -> Iterator[World]:
    neighbour = world.neighbour()
    yield neighbour
    neighbour.close()


def automation(world: World, type: str, **config: Any) -> Automation:
    return read_automation(
        {
            "_id": ObjectId(),
            "type": type,
            "account_id": world.account,
            "stage_id": ObjectId(),
            "createdAt": datetime.now(UTC),
            "created_by": world.user,
            **config,
        }
    )


def deal(**fields: Any) -> Document:
    return {"_id": ObjectId(), "name": "Big <deal>", **fields}


def template(world: World, **fields: str) -> ObjectId:
    """An e-mail template of the world's account, or its SMS template when it has a body."""
    collection = "sms_templates" if "body" in fields else "email_templates"
    return ObjectId(world.db[collection].insert_one({"account_id": world.account, **fields}).inserted_id)


def suppress(world: World, channel: str, address: str) -> None:
    world.db["suppressions"].insert_one({"account_id": world.account, "channel": channel, "address": address})


async def compose(app: EngineApp, automation: Automation, *deals: Document) -> Sequence[Deliver | Exception]:
    """What becomes of the deals, which are stored first."""
    action = ACTIONS[automation.type]
    assert isinstance(action, SendMessage)
    for one in deals:
        stored = {"account_id": automation.account_id, **one}
        await app.database["deals"].replace_one({"_id": one["_id"]}, stored, upsert=True)
    composed = await action.compose(app, automation, deals)
    return [one for one in composed if one is not None]


async def deliver(composed: Deliver | Exception, key: str) -> str | None:
    assert not isinstance(composed, Exception), composed
    return await composed(key, _at_once)


async def _at_once() -> None:
    """The attempt is recorded."""


def reasons(composed: Sequence[Deliver | Exception]) -> list[str]:
    """Why there is no message, or nothing where there is one."""
    assert all(isinstance(one, Permanent) for one in composed if isinstance(one, Exception))
    return [str(one) if isinstance(one, Exception) else "" for one in composed]


async def test_a_mail_from_the_account_s_template(app: EngineApp, world: World, sink: Sink) -> None:
    id = template(world, subject="{{ contact.name }}: {{ deal.name }}", html="<p>Dear {{ contact.name }}</p>")
    (mail,) = await compose(app, automation(world, "email", email_template_id=id), deal(**JOHN))
    message_id = await deliver(mail, "aut:deal:0")
    (record,) = await sink.records()
    assert record["recipients"] == ["john@acme.com"]
    assert "Subject: John & Co: Big <deal>\r\n" in record["message"]
    assert "<p>Dear John &amp; Co</p>" in record["message"]
    assert "\r\nDear John & Co\r\n" in record["message"]
    assert message_id == "<aut.deal.0@crm.example>"


async def test_each_deal_has_a_mail_or_a_reason(app: EngineApp, world: World, neighbour: World) -> None:
    suppress(world, "email", "no@acme.com")
    suppress(world, "all", "never@acme.com")
    suppress(world, "sms", "john@acme.com")
    suppress(neighbour, "email", "john@acme.com")
    id = template(world, subject="Hi", text="{{ deal.additional_info.size }}")
    info = {"additional_info": {"size": "12"}}
    composed = await compose(
        app,
        automation(world, "email", email_template_id=str(id)),
        deal(**JOHN, **info),
        deal(**info),
        deal(**info, contact_email=""),
        deal(**info, contact_email="john@acme.com, jane@acme.com"),
        deal(**info, contact_email="NO@Acme.com "),
        deal(**info, contact_email="never@acme.com"),
        deal(**JOHN),
    )
    assert reasons(composed) == [
        "",
        "the contact's e-mail address is missing",
        "the contact's e-mail address is missing",
        "the contact's e-mail address is not a valid address",
        "the contact's e-mail address is suppressed",
        "the contact's e-mail address is suppressed",
        "",
    ]


async def test_another_account_s_template_is_not_there(app: EngineApp, world: World, neighbour: World) -> None:
    foreign = template(neighbour, subject="Hi", text="secret of a neighbour")
    with pytest.raises(Permanent, match="no such e-mail template"):
        await compose(app, automation(world, "email", email_template_id=foreign), deal(**JOHN))
    foreign = template(neighbour, body="secret of a neighbour")
    with pytest.raises(Permanent, match="no such SMS template"):
        await compose(app, automation(world, "sms", sms_template_id=foreign), deal(**JOHN))


@pytest.mark.parametrize(
    ("type", "config", "reason"),
    [
        ("email", {}, "no valid email_template_id"),
        ("email", {"email_template_id": "x"}, "no valid email_template_id"),
        ("sms", {}, "neither sms_template_id nor message"),
        ("sms", {"message": "  "}, "neither sms_template_id nor message"),
        ("sms", {"sms_template_id": "x"}, "no valid sms_template_id"),
        ("instareport", {}, "no report_type"),
        ("instasite", {}, "no site_template_id"),
        ("instareport", {"report_type": "seo", "created_by": None}, "no created_by"),
    ],
)
async def test_an_automation_that_lacks_something_says_what(
    app: EngineApp, world: World, type: str, config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Permanent, match=reason):
        await compose(app, automation(world, type, **config), deal(**JOHN))


async def test_an_empty_template_is_a_reason(app: EngineApp, world: World) -> None:
    id = template(world, subject="Hi", html="", text="")
    with pytest.raises(Permanent, match="the e-mail template is empty"):
        await compose(app, automation(world, "email", email_template_id=id), deal(**JOHN))


@pytest.mark.parametrize("stored", [False, True])
async def test_an_sms_from_the_message_or_a_template(
    app: EngineApp, world: World, twilio: Twilio, stored: bool
) -> None:
    words = "Hi {{ contact.name }}, about {{ deal.name }}"
    config = {"sms_template_id": template(world, body=words)} if stored else {"message": words}
    (sms,) = await compose(app, automation(world, "sms", **config), deal(**JOHN))
    sid = await deliver(sms, "aut:deal:0")
    (message,) = twilio.messages
    assert (message.sid, message.key, message.to) == (sid, "aut:deal:0", "+15551234567")
    assert message.body == "Hi John & Co, about Big <deal>"


async def test_a_contact_who_opted_out_gets_no_sms(app: EngineApp, world: World) -> None:
    suppress(world, "sms", "+15551234567")
    suppress(world, "all", "+49 30 1234567")
    suppress(world, "email", "+15550000000")
    composed = await compose(
        app,
        automation(world, "sms", message="Hi"),
        deal(contact_phone="+1 (555) 123-4567"),
        deal(contact_phone="+49 30 1234567"),
        deal(contact_phone="+15550000000"),
        deal(contact_phone="call me"),
        deal(),
    )
    assert reasons(composed) == [
        "the contact's telephone number is suppressed",
        "the contact's telephone number is suppressed",
        "",
        "the contact's telephone number is not a valid number",
        "the contact's telephone number is missing",
    ]


async def test_a_report_and_a_site_are_asked_for_in_the_creator_s_name(
    app: EngineApp, world: World, crm: CrmApi
) -> None:
    one = deal()
    (report,) = await compose(app, automation(world, "instareport", report_type="seo"), one)
    (site,) = await compose(app, automation(world, "instasite", site_template_id=ObjectId()), one)
    made = [await deliver(report, "aut:deal:0"), await deliver(site, "aut:deal:1")]
    assert [thing["id"] for thing in crm.made.values()] == made
    assert [thing["account_id"] for thing in crm.made.values()] == [str(world.account)] * 2
    assert crm.made["aut:deal:0"]["report_type"] == "seo"
    assert crm.made["aut:deal:1"]["deal_id"] == str(one["_id"])


@pytest.mark.covers("DA-X5")
async def test_a_repeat_of_a_text_that_may_have_gone_out_is_flagged(
    app: EngineApp, world: World, twilio: Twilio
) -> None:
    id, doubtful, sure = world.automation("sms", message="Hi"), world.deal(), world.deal()
    record = {"channel": "sms", "state": "sending", "attempts": 1, "ambiguous": False, "history": []}
    world.db["effects"].insert_one({"_id": f"{id}:{doubtful}:0", "account_id": world.account, **record})
    await run(app, id)
    assert (deal_of(world, doubtful)["automation_failed"], len(twilio.messages)) == ([id], 1)
    world.db["deals"].update_many({}, {"$set": {"retry_automations": [id]}})

    await run(app, id)

    repeats = {one: world.db["effects"].find_one({"_id": f"{id}:{one}:1"}) or {} for one in (doubtful, sure)}
    flags = {one: (found.get("state"), found.get("ambiguous")) for one, found in repeats.items()}
    assert flags == {doubtful: ("sent", True), sure: ("sent", False)}
    assert len(twilio.messages) == 3
