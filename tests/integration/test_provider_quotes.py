"""Providers that quote our own request in their replies: nothing of it is stored or logged."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from pipeline_engine import settings
from tests.support.automations import run
from tests.support.engine_app import open_app
from tests.support.said import Said
from tests.support.stand_ins.crm_api import CrmApi
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.stand_ins.stand_in import Call
from tests.support.stand_ins.twilio import LOGIN, SID, TOKEN, Twilio
from tests.support.world import World

KEPT = ("effects", "automation_units", "automation_logs", "dead_letters", "automations", "crm_events", "outbox")
BODY = "Dear Ada, the vault's combination is nine four seven"
ADDRESS, PHONE = "ada@example.com", "+15557654321"
PASSWORD = "the-mail-password"
STATUSES = [400, 401, 403, 409, 500, 503, 201]


def quotation(call: Call) -> str:
    return f"bad request: {call.headers} {call.content}"


class QuotingTwilio(Twilio):
    status = 401

    def do(self, call: Call) -> web.Response:
        said = quotation(call)
        return web.json_response({"message": said, "sid": said}, status=self.status)


class QuotingCrm(CrmApi):
    status = 401

    def do(self, call: Call) -> web.Response:
        return web.json_response({"error": {"message": quotation(call)}, "id": quotation(call)}, status=self.status)


@pytest.fixture
async def twilio() -> AsyncIterator[QuotingTwilio]:
    async with QuotingTwilio() as twilio:
        yield twilio


@pytest.fixture
async def crm(environment: dict[str, str]) -> AsyncIterator[QuotingCrm]:
    async with QuotingCrm(environment["APP_SECRET"]) as crm:
        yield crm


def kept(world: World) -> str:
    """Everything that the run has written, as text."""
    return "\n".join(f"{name}: {one}" for name in KEPT for one in world.db[name].find())


def check(text: str, *private: str) -> None:
    for secret in (BODY, BODY[:25], BODY[-25:], PHONE, PHONE[1:], ADDRESS, *private):
        assert secret not in text, text
    assert not re.search(r"eyJ[\w-]{5}", text), text


async def run_all(world: World, given: dict[str, str], type: str, **config: Any) -> str:
    automation = world.automation(type, **config)
    world.deal(contact_phone=PHONE, contact_email=ADDRESS)
    async with open_app(settings.from_environment({**world.environment, **given})) as app:
        await run(app, automation)
    return kept(world)


@pytest.mark.parametrize("status", STATUSES)
async def test_an_sms_provider(world: World, twilio: QuotingTwilio, status: int, said: Said) -> None:
    twilio.status = status
    template = world.db["sms_templates"].insert_one({"account_id": world.account, "body": BODY}).inserted_id
    text = await run_all(world, twilio.environment(), "sms", sms_template_id=template)
    assert twilio.calls
    check(text + said(), TOKEN, LOGIN, LOGIN.removeprefix("Basic "), f"{SID}:{TOKEN}")


@pytest.mark.parametrize("status", STATUSES)
async def test_the_crm(world: World, crm: QuotingCrm, status: int, said: Said) -> None:
    crm.status = status
    text = await run_all(world, crm.environment(), "instareport", report_type="seo")
    assert crm.calls
    check(text + said(), *crm.calls[0].headers["Authorization"].split()[1:])


@pytest.mark.parametrize(
    ("step", "code"),
    [("RCPT", 550), ("RCPT", 451), (".", 554), (".", 451), ("MAIL", 530), ("AUTH", 535), ("EHLO", 554)],
)
async def test_a_mail_server(world: World, step: str, code: int, said: Said) -> None:
    reply = f"{code} refused <{ADDRESS.upper()}> {BODY} login {PASSWORD}"
    template = {"account_id": world.account, "subject": "Hello", "text": BODY}
    template_id = world.db["email_templates"].insert_one(template).inserted_id
    async with ScriptedSmtp() as server:
        if step == "AUTH":
            server.script["EHLO"].extend(["250-here\r\n250 AUTH PLAIN"] * 9)
        server.script[step].extend([reply] * 9)
        login = f"sales:{PASSWORD}@" if step == "AUTH" else ""
        given = {"SMTP_URL": server.url.replace("://", f"://{login}"), "SMTP_FROM": "sales@crm.example"}
        text = await run_all(world, given, "email", email_template_id=template_id)
    check(text + said(), ADDRESS.upper(), *([PASSWORD] if step == "AUTH" else []))
