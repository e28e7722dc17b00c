"""One policy for every system: what comes outside the send window is held, goes out when it opens, or expires."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.automations.explain import explain as explain_automation
from pipeline_engine.domain.leads.explain import explain as explain_lead
from pipeline_engine.domain.workflows.explain import explain as explain_workflow
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support import automations, crm_events, leads, workflows
from tests.support.engine_app import EngineApp, open_app
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.world import World

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
OFFICE = {"from": "09:00", "to": "17:00", "weekdays": [1, 2, 3, 4, 5], "holidays": True, "zone": "contact"}
# The evening before Good Friday; on Sunday clocks are set forward in Berlin; Easter Monday is a holiday as well.
EVENING = datetime(2027, 3, 25, 21, 30, tzinfo=UTC)
OPENING = datetime(2027, 3, 30, 7, tzinfo=UTC)


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
def office(world: World) -> World:
    """An account in Germany that writes in office hours."""
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"timezone": BERLIN, "country": "DE"}})
    crm_events.profile(world, send_window=OFFICE)
    return world


def steps() -> list[datetime]:
    """Hour by hour over Easter, minute by minute when the window opens."""
    hours = [EVENING + timedelta(hours=n) for n in range(1, 105)]
    minutes = [OPENING + timedelta(minutes=n) for n in range(-2, 20)]
    return sorted({*[one for one in hours if one < OPENING], *minutes, OPENING + timedelta(hours=6, minutes=30)})


async def test_over_a_holiday_and_the_change_of_clocks_no_mail_goes_out_at_the_wrong_hour(
    app: EngineApp, office: World, smtp: ScriptedSmtp
) -> None:
    here = leads.stage(office, leads.action("email", email_template_id=leads.template(office)))
    zones = {BERLIN: 30, NEW_YORK: 5}
    for zone, count in zones.items():
        for _ in range(count):
            leads.entered(office, here, timezone=zone)
    sent: Counter[datetime] = Counter()
    for moment in [EVENING, *steps()]:
        before = len(smtp.accepted)
        app.clock.set(moment)
        await leads.work(app, office, rounds=1)
        sent[moment] += len(smtp.accepted) - before

    assert sent.total() == 35
    for moment, count in sent.items():
        local = [moment.astimezone(ZoneInfo(zone)) for zone in zones]
        assert not count or any(9 <= one.hour < 17 and one.isoweekday() <= 5 for one in local), moment
    assert sum(sent[OPENING + timedelta(minutes=n)] for n in range(20)) == 30
    assert max(sent[OPENING + timedelta(minutes=n)] for n in range(20)) <= 9
    assert {row["attempts"] for row in office.db["effects"].find()} == {1}


async def test_every_system_holds_its_mails_and_sends_them_at_the_opening(
    app: EngineApp, office: World, smtp: ScriptedSmtp
) -> None:
    template = leads.template(office, "Hello")
    crm_events.profile(office, welcome_email_template_id=template)
    lead, entry = leads.entered(office, leads.stage(office, leads.action("email", email_template_id=template)))
    workflows.workflow(office, workflows.step("send_email", email_template_id=template))
    contact = workflows.contact(office)
    workflows.happened(office, "contact.created", contact)
    automation, deal = office.automation("email", email_template_id=template), office.deal()
    welcome = crm_events.created(office, contact)
    later = crm_events.insert(office, "contact.updated", {"contact_id": contact}, at=1)

    async def work() -> None:
        await leads.work(app, office, rounds=1)
        await workflows.work(app.with_repos(WorkflowRepos.open), office)
        await automations.work_off(app)
        await crm_events.work(app, office)

    app.clock.set(EVENING)
    await work()
    assert smtp.accepted == []
    held = {row["_id"]: row for row in office.db["effects"].find()}
    assert {row["state"] for row in held.values()} == {"held"}
    assert len(held) == 4
    assert {row["attempts"] for row in held.values()} == {0}
    # The contact's other events do not wait behind its welcome e-mail.
    assert [crm_events.event_of(office, id)["status"] for id in (welcome, later)] == ["done", "done"]
    await says_why(app, office, lead, automation, deal, contact)
    app.clock.set(OPENING - timedelta(minutes=1))
    await work()
    assert smtp.accepted == []
    app.clock.set(OPENING + timedelta(minutes=15))
    await work()

    assert len(smtp.accepted) == 4
    assert leads.entry(office, entry)["status"] == "completed"
    assert workflows.enrollment(office, contact)["status"] == "completed"
    assert automations.deal_of(office, deal)["automation_triggered"] == [automation]


async def says_why(
    app: EngineApp, world: World, lead: ObjectId, automation: ObjectId, deal: ObjectId, contact: ObjectId
) -> None:
    why = "held: the send window opens on 2027-03-30 at 09:00 (Europe/Berlin)"
    enrolled = workflows.enrollment(world, contact)["_id"]
    of_lead = await explain_lead(app, lead)
    of_workflow = await explain_workflow(app.with_repos(WorkflowRepos.open), enrolled)
    of_automation = await explain_automation(app, automation, deal)

    for found in (of_lead, of_workflow, of_automation):
        assert any(one.state == "held" and why in one.detail for one in found.history)
        assert found.next.at
        assert OPENING <= found.next.at < OPENING + timedelta(minutes=15)
    assert of_automation.next.why == why
    for explained in (of_lead, of_workflow):
        assert [one.value for one in explained.conditions if one.name == "the send window is open"] == [why]


async def test_a_message_that_was_held_for_too_long_is_given_up(
    app: EngineApp, office: World, smtp: ScriptedSmtp
) -> None:
    _, entry = leads.entered(
        office, leads.stage(office, leads.action("email", email_template_id=leads.template(office)))
    )
    app.clock.set(EVENING)
    await leads.work(app, office, rounds=1)
    app.clock.set(EVENING + timedelta(days=7))
    await leads.work(app, office, rounds=1)

    found = leads.entry(office, entry)
    assert (found["status"], smtp.accepted) == ("failed", [])
    assert found["reason"].startswith("expired: it was held since 2027-03-25 21:30 UTC")


async def test_a_window_that_changes_meanwhile_is_asked_again(
    app: EngineApp, office: World, smtp: ScriptedSmtp
) -> None:
    leads.entered(office, leads.stage(office, leads.action("email", email_template_id=leads.template(office))))
    app.clock.set(EVENING)
    await leads.work(app, office, rounds=1)
    crm_events.profile(office, send_window={**OFFICE, "from": "12:00"})
    app.clock.set(OPENING + timedelta(minutes=20))
    await leads.work(app, office, rounds=1)
    assert smtp.accepted == []
    app.clock.set(OPENING + timedelta(hours=3, minutes=15))
    await leads.work(app, office, rounds=1)

    assert len(smtp.accepted) == 1
    (record,) = office.db["effects"].find()
    assert [one["state"] for one in record["history"]] == ["held", "held", "sending", "sent"]


async def test_a_deal_s_contact_is_asked_for_its_zone(app: EngineApp, office: World, smtp: ScriptedSmtp) -> None:
    workflows.contact(office, email="eve@example.com", timezone=NEW_YORK)
    office.automation("email", email_template_id=leads.template(office, "Hello"))
    for address in ("Eve@example.com", "ada@example.com"):
        office.deal(contact_email=address)
    app.clock.set(EVENING - timedelta(hours=3))  # 14:30 in New York, 19:30 in Berlin
    await automations.work_off(app)

    (mail,) = smtp.accepted
    assert b"Eve@example.com" in mail
