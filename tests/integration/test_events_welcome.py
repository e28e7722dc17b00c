"""Welcome e-mails: each contact once, over retries, dead letters and limits; other consumers are not repeated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.consumers.burial import run_retry
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from tests.support.crm_events import (
    consumers_find,
    contact,
    contact_of,
    created,
    event_of,
    insert,
    later,
    letters,
    members,
    profile,
    work,
)
from tests.support.engine_app import EngineApp, open_app
from tests.support.stand_ins.scripted_smtp import CUT, ScriptedSmtp
from tests.support.world import World


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
async def app(environment: dict[str, str], smtp: ScriptedSmtp) -> AsyncIterator[EngineApp]:
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>"}
    async with open_app(settings.from_environment({**environment, **mail})) as app:
        yield app


@pytest.fixture
def welcoming(world: World) -> ObjectId:
    """The account's welcome template."""
    own = {"account_id": world.account, "subject": "Hello", "text": "Hello {{ contact.name }}"}
    id = ObjectId(world.db["email_templates"].insert_one(own).inserted_id)
    profile(world, welcome_email_template_id=id)
    return id


@pytest.mark.covers("CL-08")
async def test_a_contact_is_welcomed_once_however_often_it_is_announced(
    world: World, app: EngineApp, smtp: ScriptedSmtp, welcoming: ObjectId
) -> None:
    ids = [contact(world, name=f"Ada {n}") for n in range(12)]
    for id in ids:
        created(world, id)
        created(world, id, at=1)
    insert(world, "contact.updated", {"contact_id": contact(world)})

    await work(app, world)
    await later(app, world, seconds=60)

    assert len(smtp.accepted) == 12
    for n, id in enumerate(ids):
        (mail,) = [mail for mail in smtp.accepted if contact_of(world, id)["email"].encode() in mail]
        assert f"Hello Ada {n}".encode() in mail
    assert {one["_id"] for one in world.db["effects"].find({"state": "sent"})} == {f"welcome:{id}" for id in ids}


@pytest.mark.covers("CL-08")
async def test_contacts_to_whom_no_mail_can_go_are_done_all_the_same(
    world: World, app: EngineApp, smtp: ScriptedSmtp, welcoming: ObjectId
) -> None:
    stop = {"account_id": world.account, "address": "stop@example.com", "channel": "email"}
    world.db["suppressions"].insert_one(stop)
    events = [created(world, contact(world, email=one)) for one in (None, "no address", "Stop@example.com")]

    await work(app, world)

    assert ({event_of(world, id)["status"] for id in events}, smtp.messages) == ({"done"}, [])


@pytest.mark.covers("CL-08", "CL-09")
async def test_what_fails_is_repeated_alone_and_again_after_the_dead_letter(
    world: World, app: EngineApp, smtp: ScriptedSmtp, welcoming: ObjectId
) -> None:
    first, second = members(world, 2)
    smtp.script["MAIL"].extend(["451 later"] * 4)
    id = contact(world)
    event = created(world, id)

    await work(app, world)
    stored = event_of(world, event)
    assert (stored["status"], "welcome_email" in stored["consumed"], "owner" in stored["consumed"]) == (
        "new",
        False,
        True,
    )
    for _ in range(3):
        await later(app, world, seconds=40)
    assert (event_of(world, event)["status"], smtp.accepted) == ("dead", [])
    (letter,) = letters(world)
    assert "welcome_email" in letter["error"]

    scope = app.with_repos(ConsumerRepos.open)
    await run_retry(scope, None, event)
    await work(app, world)
    created(world, contact(world))
    await work(app, world)

    assert event_of(world, event)["status"] == "done"
    assert sum(contact_of(world, id)["email"].encode() in mail for mail in smtp.accepted) == 1
    owners = [one["owner"] for one in world.db["contacts"].find()]
    assert owners == [first, second]  # a repeat used up no turn
    assert world.db["activities"].count_documents({"contact_id": id}) == 1


async def test_a_missing_template_fails_the_events_and_names_the_reason(world: World, app: EngineApp) -> None:
    profile(world, welcome_email_template_id=ObjectId())
    event = created(world, contact(world))

    await work(app, world)

    stored = event_of(world, event)
    assert (stored["status"], stored["attempts"]) == ("new", 1)
    assert "no such e-mail template" in stored["errors"][0]["error"]


async def test_a_limit_puts_mails_off_and_burns_no_attempt(
    world: World, app: EngineApp, smtp: ScriptedSmtp, welcoming: ObjectId
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": {"email": 3}}})
    events = [created(world, contact(world)) for _ in range(5)]

    await work(app, world)

    assert (len(smtp.accepted), {event_of(world, id)["status"] for id in events}) == (3, {"done"})
    waiting = list(world.db["crm_events"].find({"type": "welcome_email.held"}))
    assert [(one["status"], one.get("attempts", 0)) for one in waiting] == [("new", 0)] * 2


async def test_a_limit_of_nothing_holds_up_no_other_event_of_the_contact(
    world: World, app: EngineApp, smtp: ScriptedSmtp, welcoming: ObjectId
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": {"email": 0}}})
    id = contact(world)
    events = [created(world, id), insert(world, "contact.updated", {"contact_id": id})]

    await work(app, world)

    assert ([event_of(world, one)["status"] for one in events], smtp.accepted) == (["done", "done"], [])
    world.db["_accounts"].update_one({"_id": world.account}, {"$unset": {"limits": 1}})
    await later(app, world, seconds=120)
    assert len(smtp.accepted) == 1


@pytest.mark.parametrize(("policy", "cuts", "retries"), [("park", 1, 1), ("park", 2, 2), ("resend", 2, 1)])
@pytest.mark.covers("CL-08", "CL-09")
async def test_a_retried_mail_that_may_have_gone_out_before_is_flagged(
    environment: dict[str, str],
    world: World,
    smtp: ScriptedSmtp,
    welcoming: ObjectId,
    policy: str,
    cuts: int,
    retries: int,
) -> None:
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>", "UNKNOWN_EMAIL": policy}
    smtp.script["."].extend([CUT] * cuts)
    doubtful, certain = contact(world), contact(world)
    async with open_app(settings.from_environment({**environment, **mail})) as app:
        event = created(world, doubtful)
        for _ in range(retries):
            for _ in range(4):
                await later(app, world, seconds=40)
            assert event_of(world, event)["status"] == "dead"
            await run_retry(app.with_repos(ConsumerRepos.open), None, event)
        created(world, certain)
        await work(app, world)

    assert event_of(world, event)["status"] == "done"
    sent = {one["_id"]: one["ambiguous"] for one in world.db["effects"].find({"state": "sent"})}
    assert sent == {f"welcome:{doubtful}.{retries}": True, f"welcome:{certain}": False}


@pytest.mark.covers("R-04")
async def test_the_events_of_an_account_that_is_not_active_wait(
    world: World, app: EngineApp, smtp: ScriptedSmtp, welcoming: ObjectId
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}}, upsert=True)
    ada = contact(world)
    id = created(world, ada)

    await work(app, world)
    assert (event_of(world, id)["status"], len(smtp.accepted), await consumers_find(app)) == ("new", 0, [])

    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": True}})
    await work(app, world)
    assert (event_of(world, id)["status"], len(smtp.accepted)) == ("done", 1)
