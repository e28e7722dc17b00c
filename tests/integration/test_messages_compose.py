"""Messages to contacts and leads, which no automation knows: the same composing serves every system."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.messages.compose import compose_emails, compose_texts, email_template, sms_template
from pipeline_engine.domain.messages.message import TextMessage
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_message import Mail
from tests.support.engine_app import EngineApp
from tests.support.world import World

CONTACT = {"_id": ObjectId(), "name": "Jane", "email": "jane@acme.com", "company": "Acme"}
LEAD = {"_id": ObjectId(), "name": "Jim", "phone": "+1 555 123 4567"}


async def test_a_mail_to_contacts_from_the_account_s_template(app: EngineApp, world: World) -> None:
    parts = {"subject": "{{ contact.company }}", "text": "Dear {{ contact.name }}"}
    id = world.db["email_templates"].insert_one({"account_id": world.account, **parts}).inserted_id
    template = await email_template(app, world.account, id)

    mail, reason = await compose_emails(
        app, world.account, template, [{"contact": CONTACT}, {"contact": {"_id": ObjectId(), "name": "Joe"}}]
    )

    assert mail == Mail("jane@acme.com", "Acme", "Dear Jane")
    assert isinstance(reason, Permanent)
    assert str(reason) == "the contact's e-mail address is missing"


async def test_a_text_to_a_lead(app: EngineApp, world: World) -> None:
    composed = await compose_texts(app, world.account, {"body": "Hi {{ lead.name }}"}, [{"lead": LEAD}])
    assert composed == [TextMessage("+15551234567", "Hi Jim")]


async def test_a_record_that_is_not_given_is_unknown_to_the_template(app: EngineApp, world: World) -> None:
    (reason,) = await compose_texts(app, world.account, {"body": "{{ deal.name }}"}, [{"lead": LEAD}])
    assert str(reason) == "the template's body: unknown variable 'deal'; the nearest known name is 'lead'"


async def test_what_a_record_lacks_is_empty(app: EngineApp, world: World) -> None:
    body = (
        "Hi {{ contact.name.split(' ')[0] or 'there' }}{% if deal.closed_at %}!{% endif %}{{ deal.additional_info.x }}"
    )
    composed = await compose_texts(
        app, world.account, {"body": body}, [{"deal": {"_id": 1, "contact_phone": "+15551234567"}}]
    )
    assert composed == [TextMessage("+15551234567", "Hi there")]


@pytest.mark.parametrize(
    "stored",
    ["+1 415-555-0101", "+1 (415) 555 0101", "0014155550101", "(415) 555-0101", "1.415.555.0101", "4155550101"],
)
async def test_a_suppressed_number_gets_no_text_however_the_crm_wrote_it(
    app: EngineApp, world: World, stored: str
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"country": "US"}})
    world.db["suppressions"].insert_one({"account_id": world.account, "channel": "sms", "address": stored})
    leads = [{**LEAD, "phone": phone} for phone in ("+14155550101", "415 555 0101", "+14155550102")]

    found = await compose_texts(app, world.account, {"body": "Hi"}, [{"lead": lead} for lead in leads])

    assert [str(one) for one in found[:2]] == ["the contact's telephone number is suppressed"] * 2
    assert found[2] == TextMessage("+14155550102", "Hi")


async def test_an_sms_template_without_a_body(app: EngineApp, world: World) -> None:
    id = world.db["sms_templates"].insert_one({"account_id": world.account, "body": " "}).inserted_id
    with pytest.raises(Permanent, match="the SMS template is empty"):
        await sms_template(app, world.account, id)
