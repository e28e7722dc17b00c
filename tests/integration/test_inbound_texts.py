"""Texts that come in by Twilio's webhook: STOP, START, HELP, and replies of leads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession

from pipeline_engine import settings
from pipeline_engine.admin.inbound_texts import PATH, signature
from pipeline_engine.admin.server import listening
from pipeline_engine.embedded.ports import free_ports
from tests.support import automations, leads
from tests.support.engine_app import EngineApp, open_app
from tests.support.stand_ins.twilio import Twilio
from tests.support.world import World

PHONE, NATIONAL = "+15005550006", "(500) 555-0006"
PUBLIC = "https://crm.example.com/engine"


@dataclass
class Hook:
    app: EngineApp
    twilio: Twilio
    address: str
    session: ClientSession

    async def text(self, body: str, sid: str = "SM1", sender: str = PHONE, **fields: str) -> tuple[int, str]:
        form = {"MessageSid": sid, "From": sender, "To": "+15005550001", "Body": body, **fields}
        return await self.post(form, signature(self.token, PUBLIC + PATH, form))

    async def post(self, form: dict[str, str], signed: str, query: str = "") -> tuple[int, str]:
        headers = {"X-Twilio-Signature": signed}
        async with self.session.post(self.address + PATH + query, data=form, headers=headers) as answer:
            return answer.status, await answer.text()

    @property
    def token(self) -> str:
        token = self.app.settings.twilio_auth_token
        assert token
        return token.get_secret_value()


@pytest.fixture
async def hook(environment: dict[str, str]) -> AsyncIterator[Hook]:
    async with Twilio() as twilio, ClientSession() as session:
        own = {**twilio.environment(), "PUBLIC_URL": PUBLIC, "HTTP_PORT": str(free_ports(1)[0])}
        async with open_app(settings.from_environment({**environment, **own})) as app, listening(app, {}) as address:
            yield Hook(app, twilio, address, session)


def rows(world: World) -> list[tuple[str, str, str]]:
    return [(one["channel"], one["address"], one["reason"]) for one in world.db["suppressions"].find()]


@pytest.mark.covers("R-05")
@pytest.mark.parametrize("phone", [PHONE, "+1 500-555-0006"])
async def test_stop_suppresses_and_ends_runs_and_start_opens_again(hook: Hook, world: World, phone: str) -> None:
    here = leads.stage(world, leads.action("wait", seconds=60), leads.action("sms", message="Hello"))
    _, entry = leads.entered(world, here, phone=phone)
    await leads.work(hook.app, world)

    assert (await hook.text("Stop"))[0] == 200

    assert rows(world) == [("sms", PHONE, "stop")]
    assert leads.entry(world, entry)["status"] == "cancelled"
    assert world.db["crm_events"].count_documents({"type": "sms.unsubscribed"}) == 1
    assert (await hook.text("START", "SM2"))[0] == 200
    assert rows(world) == []


async def test_stop_reaches_the_account_that_texted_a_number_that_only_a_deal_has(hook: Hook, world: World) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"country": "US"}})
    automation = world.automation("sms", message="Hello")
    world.deal(contact_phone=NATIONAL)
    await automations.work_off(hook.app)

    await hook.text("STOP")
    deal = world.deal(contact_phone=NATIONAL)
    await automations.work_off(hook.app)

    assert rows(world) == [("sms", PHONE, "stop")]
    assert automations.deal_of(world, deal)["automation_failed"] == [automation]
    assert world.db["effects"].count_documents({"state": "sent"}) == 1


async def test_the_signature_covers_the_query_of_the_public_address(hook: Hook, world: World) -> None:
    leads.lead(world, phone=PHONE)
    form, query = {"MessageSid": "SM1", "From": PHONE, "Body": "Call me"}, "?number=sales&x=%20"

    refused = await hook.post(form, signature(hook.token, PUBLIC + PATH, form), query)
    taken = await hook.post(form, signature(hook.token, PUBLIC + PATH + query, form), query)

    assert (refused[0], taken[0]) == (403, 200)
    assert world.db["lead_responses"].count_documents({}) == 1


async def test_another_text_is_a_reply_once(hook: Hook, world: World) -> None:
    lead = leads.lead(world, phone=PHONE)
    for _ in range(2):
        assert (await hook.text("Call me, please"))[0] == 200

    (response,) = world.db["lead_responses"].find()
    assert (response["lead_id"], response["channel"], response["text"]) == (lead, "sms", "Call me, please")
    assert (response["message_id"], response["account_id"]) == ("SM1", world.account)
    assert rows(world) == []


async def test_yes_is_a_reply_unless_the_number_was_stopped(hook: Hook, world: World) -> None:
    leads.lead(world, phone=PHONE)
    await hook.text("Yes", "SM1")
    await hook.text("STOP", "SM2")
    await hook.text("Yes", "SM3")

    assert [one["message_id"] for one in world.db["lead_responses"].find()] == ["SM1"]
    assert rows(world) == []


async def test_a_reply_goes_to_the_account_that_texted_last(hook: Hook, world: World) -> None:
    neighbour = world.neighbour()
    leads.lead(neighbour, phone=PHONE)
    here = leads.stage(world, leads.action("sms", message="Hello"), leads.action("wait", seconds=60))
    lead, _ = leads.entered(world, here, phone=PHONE)
    await leads.work(hook.app, world)

    await hook.text("Hello!")

    neighbour.close()
    assert [one["lead_id"] for one in world.db["lead_responses"].find()] == [lead]


@pytest.mark.parametrize("phone", ["+1 (415)5550101", "415 5550101", "1-415-555-0101"])
async def test_a_lead_is_known_by_the_text_that_it_was_sent(hook: Hook, world: World, phone: str) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"country": "US"}})
    here = leads.stage(world, leads.action("sms", message="Hello"), leads.action("wait", seconds=60))
    lead, entry = leads.entered(world, here, phone=phone)
    await leads.work(hook.app, world)

    await hook.text("Call me", "SM1", "+14155550101")
    await hook.text("PARAR", "SM2", "+14155550101", OptOutType="STOP")

    assert [one["lead_id"] for one in world.db["lead_responses"].find()] == [lead]
    assert (rows(world), leads.entry(world, entry)["status"]) == ([("sms", "+14155550101", "stop")], "cancelled")


async def test_help_is_answered_unless_twilio_has_done_so(hook: Hook, world: World) -> None:
    assert "Reply STOP" in (await hook.text("HELP"))[1]
    assert "<Message>" not in (await hook.text("HELP", OptOutType="HELP"))[1]


async def test_what_the_crm_suppressed_itself_stays(hook: Hook, world: World) -> None:
    leads.lead(world, phone=PHONE)
    world.db["suppressions"].insert_one(
        {"account_id": world.account, "channel": "sms", "address": PHONE, "reason": "manual"}
    )
    await hook.text("START")
    assert rows(world) == [("sms", PHONE, "manual")]


async def test_only_twilio_is_heard(hook: Hook, world: World) -> None:
    leads.lead(world, phone=PHONE)
    form = {"MessageSid": "SM1", "From": PHONE, "Body": "STOP"}
    right = signature(hook.token, PUBLIC + PATH, form)
    for signed, sent in (("", form), (right[:-2] + "==", form), (right, {**form, "From": "+15005550007"})):
        assert (await hook.post(sent, signed))[0] == 403
    assert rows(world) == []
    assert (await hook.post(form, signature(hook.token, hook.address + PATH, form)))[0] == 200
