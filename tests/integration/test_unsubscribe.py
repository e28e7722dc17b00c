"""The link to unsubscribe: a POST ends everything for the address, a GET and a forged token nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.admin.server import listening
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.messages.suppress import unsubscribe_by_mail
from pipeline_engine.domain.messages.unsubscribe import new_token
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support import automations, crm_events, leads, workflows
from tests.support.engine_app import EngineApp, open_app
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.world import World

ADA = "Ada@Example.com"
CLOSED = {"from": "09:00", "to": "09:01", "weekdays": [1], "holidays": False}


@dataclass
class Door:
    app: EngineApp
    smtp: ScriptedSmtp
    address: str
    session: ClientSession

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, str], str]:
        """Status, headers without the date, and page."""
        async with self.session.request(method, self.address + path, **more) as answer:
            headers = {name: value for name, value in answer.headers.items() if name != "date"}
            return answer.status, headers, await answer.text()

    def path(self, world: World, address: str = ADA) -> str:
        return f"/u/{new_token(self.app.recipients_key, OptOut(world.account, 'email', address, 'test'))}"


@pytest.fixture
async def door(environment: dict[str, str]) -> AsyncIterator[Door]:
    port = free_ports(1)[0]
    async with ScriptedSmtp() as smtp, ClientSession() as session:
        own = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>", "HTTP_PORT": str(port)}
        given = settings.from_environment({**environment, **own, "PUBLIC_URL": f"http://127.0.0.1:{port}/"})
        async with open_app(given) as app, listening(app, {}) as address:
            yield Door(app, smtp, address, session)


def header(mail: bytes, name: str) -> str:
    unfolded = mail.decode().replace("\r\n ", " ")
    found = re.search(rf"^{name}: (.*?)\r$", unfolded, re.MULTILINE)
    return found[1] if found else ""


def everything(world: World) -> dict[str, ObjectId]:
    """Work of every system for one person: under way, waiting, and not begun."""
    template = leads.template(world, "Hello")
    person = {"name": "Ada", "email": ADA}
    here = leads.stage(world, leads.action("wait", seconds=60), leads.action("email", email_template_id=template))
    lead, entry = leads.entered(world, here, **person)
    contact = workflows.contact(world, **person)
    mailing = workflows.step("send_email", email_template_id=template)
    workflows.workflow(world, workflows.step("wait", seconds=60), mailing)
    workflows.workflow(world, workflows.step("wait", seconds=60), workflows.step("add_tag", tag="kept"))
    workflows.happened(world, "contact.created", contact)
    sequence = {"account_id": world.account, "sequence_id": ObjectId(), "contact_id": contact, "status": "active"}
    world.db["workflow_enrollments"].insert_one({**sequence, "step": 0})
    automation = world.automation("email", email_template_id=template)
    deal = world.deal(contact_email=ADA)
    return {"entry": entry, "lead": lead, "contact": contact, "automation": automation, "deal": deal}


async def work(door: Door, world: World) -> None:
    await leads.work(door.app, world, rounds=2)
    await workflows.work(door.app.with_repos(WorkflowRepos.open), world)
    await automations.work_off(door.app)
    await crm_events.work(door.app, world)


@pytest.mark.covers("R-05", "R-06")
async def test_a_post_to_the_header_s_address_ends_everything_at_once(door: Door, world: World) -> None:
    crm_events.profile(world, send_window=CLOSED)
    one = everything(world)
    await work(door, world)
    assert door.smtp.accepted == []
    assert world.db["automation_units"].find_one({"deal_id": one["deal"]})["state"] == "pending"  # type: ignore[index]

    status, _, _ = await door.ask("POST", door.path(world), data={"List-Unsubscribe": "One-Click"})

    assert status == 200
    assert leads.entry(world, one["entry"])["status"] == "cancelled"
    states = [row["status"] for row in workflows.enrollments(world, contact_id=one["contact"])]
    assert sorted(states) == ["active", "unsubscribed", "unsubscribed"]  # the one that only tags goes on
    assert world.db["automation_units"].find_one({"deal_id": one["deal"]})["state"] == "parked"  # type: ignore[index]
    (event,) = world.db["crm_events"].find({"type": "email.unsubscribed"})
    assert event["data"]["contact_id"] == str(one["contact"])

    crm_events.profile(world, send_window=None)
    world.db["deals"].update_many({}, {"$set": {"retry_automations": [one["automation"]]}})
    leads.enter(world, leads.entry(world, one["entry"])["stage_id"], one["lead"])
    for _ in range(3):
        door.app.clock.set(door.app.clock.now() + timedelta(minutes=5))
        await work(door, world)
    assert door.smtp.accepted == []


async def test_mails_say_where_to_unsubscribe(door: Door, world: World) -> None:
    world.automation("email", email_template_id=leads.template(world, "Hello"))
    world.deal(contact_email=ADA)
    await automations.work_off(door.app)
    (mail,) = door.smtp.accepted

    assert header(mail, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
    link, by_mail = re.findall("<(.*?)>", header(mail, "List-Unsubscribe"))
    assert by_mail.startswith("mailto:sales@crm.example?subject=unsubscribe%20")
    status, _, _ = await door.ask("POST", link.removeprefix(door.address))

    assert status == 200
    (row,) = world.db["suppressions"].find()
    assert (row["address"], row["channel"], row["reason"]) == ("ada@example.com", "email", "unsubscribed")
    assert row["account_id"] == world.account
    assert row["address_hash"]


async def test_without_public_url_mails_have_no_such_header(door: Door, world: World) -> None:
    bare = door.app.settings.model_copy(update={"public_url": None})
    async with open_app(bare) as app:
        world.automation("email", email_template_id=leads.template(world, "Hello"))
        world.deal()
        await automations.work_off(app)
    (mail,) = door.smtp.accepted
    assert b"List-Unsubscribe" not in mail


@pytest.mark.covers("R-06")
async def test_a_get_changes_nothing(door: Door, world: World) -> None:
    status, _, page = await door.ask("GET", door.path(world))
    assert (status, world.db["suppressions"].count_documents({})) == (200, 0)
    assert '<form method="post">' in page


@pytest.mark.covers("R-06")
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_forged_token_looks_like_a_right_one_and_does_nothing(door: Door, world: World, method: str) -> None:
    right = door.path(world)
    forged = right[:-4] + ("AAAA" if right[-4:] != "AAAA" else "BBBB")
    answers = [await door.ask(method, path) for path in (right, forged, "/u/x", "/u/" + "%00" * 20)]

    assert [answer == answers[0] for answer in answers] == [True] * 4
    assert world.db["suppressions"].count_documents({}) == (1 if method == "POST" else 0)


async def test_a_second_post_and_one_for_a_suppressed_address_do_nothing_more(door: Door, world: World) -> None:
    crm = {"account_id": world.account, "channel": "all", "address": "bob@example.com", "reason": "manual"}
    world.db["suppressions"].insert_one(crm)
    for path in (door.path(world), door.path(world), door.path(world, "Bob@example.com")):
        assert (await door.ask("POST", path))[0] == 200

    reasons = sorted((one["address"], one["reason"]) for one in world.db["suppressions"].find())
    assert reasons == [("ada@example.com", "unsubscribed"), ("bob@example.com", "manual")]
    assert world.db["crm_events"].count_documents({"type": "email.unsubscribed"}) == 1


@pytest.mark.covers("R-05")
async def test_a_suppression_holds_when_the_address_was_deleted(door: Door, world: World) -> None:
    await door.ask("POST", door.path(world))
    crm = {"account_id": world.account, "channel": "email", "address": "bob@example.com"}
    world.db["suppressions"].insert_one(crm)
    await leads.work(door.app, world, rounds=1)  # which gives the CRM's own its hash
    world.db["suppressions"].update_many({}, {"$unset": {"address": ""}})

    world.automation("email", email_template_id=leads.template(world, "Hello"))
    for address in (ADA, "bob@example.com", "eve@example.com"):
        world.deal(contact_email=address)
    await automations.work_off(door.app)

    (mail,) = door.smtp.accepted
    assert b"eve@example.com" in mail


async def test_another_account_and_another_address_go_on(door: Door, world: World) -> None:
    neighbour = world.neighbour()
    await door.ask("POST", door.path(world))
    for one, address in ((neighbour, ADA), (world, "eve@example.com")):
        one.automation("email", email_template_id=leads.template(one, "Hello"))
        one.deal(contact_email=address)
    await automations.work_off(door.app)
    neighbour.close()
    assert len(door.smtp.accepted) == 2


async def test_a_mail_to_the_header_s_address_unsubscribes_as_well(door: Door, world: World) -> None:
    token = door.path(world).removeprefix("/u/")
    for subject in ("unsubscribe", f"unsubscribe {token[:-4]}AAAA", f"Re: {token}", ""):
        assert not await unsubscribe_by_mail(door.app, subject)
    assert world.db["suppressions"].count_documents({}) == 0

    assert await unsubscribe_by_mail(door.app, f"Unsubscribe {token[:50]} {token[50:]} ")

    (row,) = world.db["suppressions"].find({"address": ADA.lower()})
    assert row["account_id"] == world.account


@pytest.mark.covers("R-05")
@pytest.mark.parametrize(("stored", "known"), [(ADA, ADA.lower()), (ADA.lower(), ADA), (ADA.upper(), ADA)])
async def test_what_a_plain_client_suppresses_holds_whatever_its_case(
    door: Door, world: World, stored: str, known: str
) -> None:
    crm = {"account_id": world.account, "channel": "email", "address": stored, "reason": "manual"}
    world.db["suppressions"].insert_one(crm)
    world.automation("email", email_template_id=leads.template(world, "Hello"))
    world.deal(contact_email=known)
    await automations.work_off(door.app)
    assert door.smtp.accepted == []

    await door.ask("POST", door.path(world, known))
    assert world.db["suppressions"].count_documents({}) == 1


@pytest.mark.covers("R-05")
async def test_it_ends_the_run_of_a_lead_whatever_its_case(door: Door, world: World) -> None:
    here = leads.stage(world, leads.action("wait", seconds=60))
    _, by_crm = leads.entered(world, here, name="Ada", email=ADA)
    _, by_link = leads.entered(world, here, name="Eve", email="Eve@Example.com")
    await leads.work(door.app, world, rounds=1)

    await door.ask("POST", door.path(world, "eve@example.com"))
    crm = {"account_id": world.account, "channel": "email", "address": ADA.upper(), "reason": "manual"}
    world.db["suppressions"].insert_one(crm)
    await leads.work(door.app, world, rounds=1)

    assert [leads.entry(world, one)["status"] for one in (by_crm, by_link)] == ["cancelled", "cancelled"]
