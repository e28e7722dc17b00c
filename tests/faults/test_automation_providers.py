"""Mail server, Twilio and the CRM's API fail in the middle of a run: each deal ends as its channel promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.lanes import Snooze
from pipeline_engine.providers.email import Mailer
from pipeline_engine.providers.sms import Sms
from tests.support.automations import run
from tests.support.drills.automations.case import Expected
from tests.support.drills.automations.plan import AutomationDrill
from tests.support.engine_app import EngineApp, open_app
from tests.support.events import carry_events
from tests.support.proxy import Proxy
from tests.support.stand_ins.scripted_smtp import CUT, HANG
from tests.support.stand_ins.stand_in import BreakOff, Hang, Say
from tests.support.stand_ins.twilio import FROM, SID, TOKEN

ANSWER_TIMEOUT = 4.0
LATER, NEVER = "451 4.7.1 come back", "550 5.1.1 no such user"
UNKNOWN = "it may have gone out: the call was not confirmed, so it is not sent again by itself"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "LEASE_SECONDS": "15"}  # no heartbeat runs here


@pytest.fixture
async def app(automation_drill: AutomationDrill) -> AsyncIterator[EngineApp]:
    """An engine that waits four seconds for an answer."""
    drill = automation_drill
    mailer = Mailer(drill.plan.outside.mail.url, "sales@crm.example", timeout=ANSWER_TIMEOUT)
    sms = Sms(SID, TOKEN, FROM, drill.plan.outside.twilio.url, timeout=ANSWER_TIMEOUT)
    async with open_app(settings.from_environment(drill.environment)) as app, mailer, sms:
        yield replace(app, senders=replace(app.senders, mailer=mailer, sms=sms))


async def work_off(drill: AutomationDrill, app: EngineApp, expected: Expected) -> None:
    """To the end of the run and the delivery of its events."""
    await run(app, expected.automation)
    await carry_events(app)
    drill.check()


def records(drill: AutomationDrill, expected: Expected) -> list[tuple[str, int, bool]]:
    """(state, attempts, ambiguous) of what was sent, in the order in which the deals entered."""
    found = drill.world.db["effects"].find({"_id": {"$regex": f"^{expected.automation}:"}}).sort("_id")
    return [(one["state"], one["attempts"], one["ambiguous"]) for one in found]


def messages(drill: AutomationDrill, expected: Expected) -> list[str]:
    """Why deals failed."""
    logs = drill.world.db["automation_logs"].find({"automation": expected.automation})
    return [entry["message"] for log in logs for entry in log["failed"]]


def but(drill: AutomationDrill, expected: Expected, failed: ObjectId) -> Expected:
    """The same, with a deal that is to fail after all."""
    now = Expected(expected.automation, expected.done - {failed}, expected.failed | {failed})
    drill.plan.expected[drill.plan.expected.index(expected)] = now
    return now


SENT, AGAIN, UNSURE = ("sent", 1, False), ("sent", 2, False), ("sent", 2, True)


@pytest.mark.parametrize(
    ("step", "answer", "record", "copies"),
    [
        ("RCPT", LATER, AGAIN, 3),
        (".", LATER, AGAIN, 3),
        ("RCPT", CUT, AGAIN, 3),
        ("DATA", CUT, UNSURE, 3),
        (".", CUT, UNSURE, 4),
        (".", HANG, UNSURE, 4),
    ],
)
@pytest.mark.covers("DA-16", "DA-X5")
async def test_a_mail_server_that_fails_once_gets_the_mail_again(
    automation_drill: AutomationDrill, app: EngineApp, step: str, answer: str, record: Any, copies: int
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("email", deals=3)
    drill.plan.outside.mail.script[step].append(answer)

    await work_off(drill, app, expected)

    assert sorted(records(drill, expected)) == sorted([SENT, SENT, record])
    # A mail that went out twice did so under one Message-ID, of which the drill's judge makes sure.
    assert len(drill.plan.outside.arrivals()) == copies


@pytest.mark.parametrize(
    ("step", "answer", "attempts", "reason"),
    [
        ("RCPT", NEVER, 1, f"the mail server refuses: {NEVER}"),
        (".", "554 5.7.1 spam", 1, "the mail server refuses: 554 5.7.1 spam"),
        (".", LATER, 3, f"the mail server says: {LATER}"),
    ],
)
@pytest.mark.covers("DA-14", "DA-16", "DA-20")
async def test_a_mail_that_is_refused_fails_alone_and_says_why(
    automation_drill: AutomationDrill, app: EngineApp, step: str, answer: str, attempts: int, reason: str
) -> None:
    drill, good = automation_drill, automation_drill.plan.plant("email", deals=2)
    await work_off(drill, app, good)
    bad = drill.plan.plant("email", deals=1)
    drill.plan.outside.mail.script[step].extend([answer] * attempts)
    bad = but(drill, bad, next(iter(bad.done)))

    await work_off(drill, app, bad)

    assert records(drill, bad) == [("failed", attempts, False)]
    assert messages(drill, bad) == [reason]
    await work_off(drill, app, drill.plan.enter(bad, deals=2))


@pytest.mark.covers("DA-14", "DA-20")
async def test_a_mail_server_that_refuses_connections_is_tried_again_when_it_is_back(
    automation_drill: AutomationDrill, app: EngineApp
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("email", deals=3)
    async with Proxy.before(drill.plan.outside.mail.url) as proxy:
        url = proxy.instead_of(drill.plan.outside.mail.url)
        async with Mailer(url, "sales@crm.example", timeout=ANSWER_TIMEOUT) as mailer:
            led = replace(app, senders=replace(app.senders, mailer=mailer))
            await proxy.refuse()
            await app.heartbeat.beat()
            outcome = await run_slice(led, None, expected.automation)
            assert isinstance(outcome, Snooze)
            assert 0 < outcome.after <= 4
            await proxy.accept()
            await work_off(drill, led, expected)

    assert records(drill, expected) == [AGAIN] * 3


@pytest.mark.covers("DA-16", "DA-X5")
async def test_a_limit_of_twilio_is_kept_and_costs_no_attempt(
    automation_drill: AutomationDrill, app: EngineApp
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("sms", deals=3)
    twilio = drill.plan.outside.twilio
    twilio.next.append(Say(429, {"message": "Too Many Requests"}, {"Retry-After": "7"}))

    await app.heartbeat.beat()
    assert await run_slice(app, None, expected.automation) == Snooze(after=7.0)
    drill.world.db["automations"].update_one({"_id": expected.automation}, {"$set": {"next_at": None}})
    await work_off(drill, app, expected)

    assert records(drill, expected) == [SENT] * 3
    assert len(twilio.messages) == 3


@pytest.mark.parametrize(("misdeed", "arrived"), [(Say(503), 2), (BreakOff(), 3), (Hang(), 3)])
@pytest.mark.covers("DA-16", "DA-X5")
async def test_an_sms_that_may_have_been_sent_is_not_sent_again(
    automation_drill: AutomationDrill, app: EngineApp, misdeed: Any, arrived: int
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("sms", deals=3)
    twilio = drill.plan.outside.twilio
    twilio.next.append(misdeed)

    await run(app, expected.automation)
    unsure = str(twilio.calls[0].key).split(":")[1]
    expected = but(drill, expected, ObjectId(unsure))
    await work_off(drill, app, expected)

    assert sorted(records(drill, expected)) == sorted([SENT, SENT, ("unknown", 1, True)])
    assert messages(drill, expected) == [UNKNOWN]
    assert (len(twilio.calls), len(twilio.messages)) == (3, arrived)


@pytest.mark.parametrize(("misdeed", "repeats"), [(Say(500), 0), (BreakOff(), 1)])
@pytest.mark.covers("DA-X5")
async def test_the_crm_is_asked_again_under_the_same_key_and_makes_nothing_twice(
    automation_drill: AutomationDrill, app: EngineApp, misdeed: Any, repeats: int
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("instareport", deals=3)
    crm = drill.plan.outside.crm
    crm.next.append(misdeed)

    await work_off(drill, app, expected)

    assert sorted(records(drill, expected)) == sorted([SENT, SENT, UNSURE])
    assert (len(crm.calls), len(crm.made), len(crm.repeats)) == (4, 3, repeats)


@pytest.mark.covers("DA-X5")
async def test_a_mail_server_that_never_answers_gets_a_mail_twice_at_most(
    automation_drill: AutomationDrill, app: EngineApp
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("email", deals=1)
    drill.plan.outside.mail.script["."].extend([CUT] * 9)
    expected = but(drill, expected, next(iter(expected.done)))

    await work_off(drill, app, expected)


@pytest.mark.parametrize(
    ("type", "missing", "reason"),
    [
        ("email", "provider", "SMTP_URL is not set, so no e-mail can be sent"),
        ("email", "template", "this account has no such e-mail template"),
        (
            "sms",
            "provider",
            "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM not set, so no SMS can be sent",
        ),
    ],
)
@pytest.mark.covers("DA-21", "DA-25")
async def test_what_an_action_needs_and_has_not_is_named_deal_by_deal(
    automation_drill: AutomationDrill, app: EngineApp, type: str, missing: str, reason: str
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant(type, deals=2)
    if missing == "template":
        drill.world.db["email_templates"].delete_many({})
    else:
        senders = replace(app.senders, mailer=Mailer(None, None), sms=Sms(None, None, None))
        app = replace(app, senders=senders)
    for deal in expected.done:
        expected = but(drill, expected, deal)

    await work_off(drill, app, expected)

    assert messages(drill, expected) == [reason] * 2
    assert drill.plan.outside.arrivals() == []


@pytest.mark.slow
@pytest.mark.covers("DA-31")
async def test_events_wait_for_the_socket_service(automation_drill: AutomationDrill, figure: list[str]) -> None:
    drill = automation_drill
    async with Proxy.before(drill.environment["SOCKET_URL"]) as proxy:
        await proxy.refuse()
        types = ("add_tag", "email")
        drill.start(SOCKET_URL=proxy.instead_of(drill.environment["SOCKET_URL"]))
        planted = [drill.plan.plant(type, deals=3) for type in types]
        await drill.until(lambda: all(drill.plan.marked(one) == 3 for one in planted), "the work is done without it")
        assert drill.world.db["outbox"].count_documents({"state": "delivered"}) == 0
        await proxy.accept()
        took = await drill.come_to_rest()
    drill.check()
    figure.append(f"events were delivered {took:.1f} s after the socket service came back")
