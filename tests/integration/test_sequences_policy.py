"""Sequences and the policy of all mails: the send window, and contacts who want no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from pipeline_engine import settings
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.sequences.explain import explain
from pipeline_engine.domain.sequences.opt_out import cancel
from tests.support.sequences import (
    SequenceApp,
    contact,
    enroll,
    enrollment,
    later,
    open_sequences,
    read,
    sequence,
    work,
)
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.world import World

MORNING = datetime(2027, 1, 13, 6, tzinfo=UTC)
"""A Wednesday."""


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
async def flow(environment: dict[str, str], smtp: ScriptedSmtp) -> AsyncIterator[SequenceApp]:
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "sales@crm.example", "PUBLIC_URL": "https://crm.example"}
    async with open_sequences(settings.from_environment({**environment, **mail})) as app:
        yield app


async def test_outside_the_send_window_a_mail_is_held_and_burns_no_attempt(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    window = {"from": "09:00", "to": "17:00", "weekdays": [1, 2, 3, 4, 5], "zone": "account"}
    world.db["business_profiles"].insert_one({"account_id": world.account, "timezone": "UTC", "send_window": window})
    id = sequence(world, 0)
    ids = [enroll(world, id) for _ in range(20)]
    flow.clock.set(MORNING)
    await work(flow, world)

    held = [enrollment(world, one) for one in ids]
    opening = MORNING.replace(hour=9)
    assert smtp.accepted == []
    assert all(opening <= one["next_at"] <= opening + timedelta(minutes=15) for one in held)
    assert len({one["next_at"] for one in held}) > 10
    assert not any(one.get("attempts") for one in held)
    assert all("send window" in one["held"] for one in held)
    explained = await explain(flow, ids[0])
    assert (explained.next.what, "send window" in explained.next.why) == ("runs", True)

    await later(flow, world, hours=3, minutes=15)

    assert len(smtp.accepted) == 20
    assert {enrollment(world, one)["status"] for one in ids} == {"completed"}
    assert "held" not in enrollment(world, ids[0])


@pytest.mark.covers("R-05", "R-06")
async def test_a_contact_who_unsubscribes_gets_no_further_mail(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    id = sequence(world, 0, 60)
    gone, stays = contact(world, email="Gone@x.example"), contact(world)
    one, other = enroll(world, id, gone), enroll(world, id, stays)
    await work(flow, world)
    assert read(smtp.accepted[0])["List-Unsubscribe"].startswith("<https://crm.example/u/")

    ended = await cancel(flow, OptOut(world.account, "email", "gone@x.example", f"sequence:{id}"))
    await later(flow, world, seconds=61)

    assert (ended, enrollment(world, one)["status"], enrollment(world, other)["status"]) == (
        *(1, "unsubscribed", "completed"),
    )
    assert len(smtp.accepted) == 3
