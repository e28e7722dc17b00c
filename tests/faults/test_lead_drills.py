"""Leads in their pipelines while daemons die, Redis forgets and a mail server hangs: strictly serial, nothing lost,
nothing early, and each message within the rules of its record."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis as RedisClient

from pipeline_engine.embedded.redis import Redis
from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED_AFTER_OUTAGE
from tests.support.drills.kills import Rehearsal, survive_all
from tests.support.drills.leads.plan import LeadDrill, LeadPlan
from tests.support.drills.points import Point
from tests.support.leads import action, enter, lead, stage
from tests.support.stand_ins.scripted_smtp import HANG

ACTIONS = 7
"""Of a lead on its way, at least."""
MAX_DELAY = 0.3
NO_SOCKETS = {"SOCKET_URL": ""}
SMALL_BATCHES = {"LEADS_BATCH": "20", "LEADS_SEND_BATCH": "10"}


@pytest.fixture
async def lead_drill(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[LeadDrill]:
    async with Drill(LeadPlan(), {**environment, **SMALL_BATCHES}, tmp_path) as drill:
        yield drill


async def come_to_rest(drill: LeadDrill, figure: list[str], *more: str) -> None:
    await drill.come_to_rest(timeout=150)
    drill.check(MAX_ORPHANED_AFTER_OUTAGE)
    figure.append("; ".join([*more, drill.plan.figures()]))


@pytest.mark.slow
@pytest.mark.covers("LP-03", "LP-15", "LP-X2", "LP-X3", "LP-X4")
async def test_a_kill_among_thirty_leads(lead_drill: LeadDrill, figure: list[str]) -> None:
    drill = lead_drill
    drill.plan.plant(30)
    daemon = drill.start()
    await drill.progress(40)
    daemon.kill()
    drill.start()
    await come_to_rest(drill, figure)


@pytest.mark.slow
@pytest.mark.covers("LP-03", "LP-06", "LP-15", "LP-X2", "LP-X3", "LP-X4")
async def test_twenty_kills_with_two_daemons(lead_drill: LeadDrill, figure: list[str]) -> None:
    drill, kills, wave = lead_drill, 20, 45
    daemons = [drill.start(), drill.start()]
    for kill in range(kills):
        # New leads for each kill: so each falls among all types of actions, and many leads meet several kills.
        drill.plan.plant(wave)
        aim = drill.plan.done() + random.randint(1, wave * ACTIONS // 2)  # noqa: S311
        await drill.progress(aim, timeout=120)
        await drill.outlast(daemons[kill % 2], random.uniform(0, MAX_DELAY))  # noqa: S311
        daemons[kill % 2].kill()
        daemons[kill % 2] = drill.start()
    await come_to_rest(drill, figure, f"{kills} kills of one of two daemons")


@pytest.mark.slow
@pytest.mark.covers("LP-07", "LP-12", "LP-X2")
async def test_four_daemons_share_the_leads(lead_drill: LeadDrill, figure: list[str]) -> None:
    drill = lead_drill
    daemons = await asyncio.gather(*(drill.started() for _ in range(4)))
    for _ in range(5):
        drill.plan.plant(60)
        await drill.progress(drill.plan.done() + 100, timeout=120)
    await come_to_rest(drill, figure)
    shares = [daemon.calls("mongo.lead_stages.update_many") for daemon in daemons]
    figure.append(f"claims and writes of each of four daemons: {shares}")
    assert min(shares) > 0


@pytest.mark.slow
@pytest.mark.covers("LP-15", "LP-X2")
async def test_two_daemons_and_a_redis_that_is_emptied_again_and_again(
    environment: dict[str, str], tmp_path: Path, own_redis: Redis, figure: list[str]
) -> None:
    settings = {**environment, **SMALL_BATCHES, "REDIS_URL": own_redis.url}
    async with Drill(LeadPlan(), settings, tmp_path) as drill, RedisClient.from_url(own_redis.url) as client:
        await asyncio.gather(drill.started(), drill.started())
        drill.plan.plant(150)
        for part in range(1, 9):
            await drill.progress(150 * ACTIONS * part // 10, timeout=120)
            await client.flushall()  # what runs is dispatched again, by both, and claimed by one
        await come_to_rest(drill, figure, "emptied 8 times")


@pytest.mark.slow
@pytest.mark.covers("LP-05", "LP-X4")
async def test_replies_at_the_moment_of_the_time_out(lead_drill: LeadDrill, figure: list[str]) -> None:
    drill = lead_drill
    await asyncio.gather(drill.started(), drill.started())
    drill.plan.plant(90)
    for id in drill.plan.expected:
        drill.plan.expected[id] = "either"
    await come_to_rest(drill, figure, "all replied when the time was just over")


@pytest.mark.slow
@pytest.mark.covers("LP-08", "LP-09")
async def test_a_mail_server_that_never_answers_holds_its_own_places_only(
    lead_drill: LeadDrill, figure: list[str]
) -> None:
    drill, world = lead_drill, lead_drill.world
    drill.plan.outside.mail.script["greeting"] = deque([HANG] * 10_000)
    await drill.started()
    drill.plan.plant(60)
    await drill.until(lambda: drill.plan.outside.mail.open > 0, "a call hangs")
    neighbour = world.neighbour()
    actions = [action("note", note="x"), action("sms", message="Hi"), action("add_tag", tag="x")]
    for each in (world, neighbour):
        others = [lead(each) for _ in range(60)]
        drill.plan.expected |= dict.fromkeys(others, "either")
        enter(each, stage(each, *actions), *others)
    took = await drill.until(
        lambda: world.db["lead_stages"].count_documents({"status": "completed"}) == 120, "the others end", 30
    )
    hanging = drill.plan.outside.mail.most_open
    figure.append(f"120 leads without e-mails ended {took:.1f} s beside {hanging} calls that hang")
    assert not drill.plan.outside.mail.accepted
    assert world.db["lead_stages"].count_documents({"current_type": "email", "status": "active"}) == 60
    neighbour.close()


LEADS = Rehearsal(
    LeadPlan,
    lambda plan: plan.plant(6),
    {**SMALL_BATCHES, "LEADS_BATCH": "4", "HEARTBEAT_SECONDS": "0.1"},
    idle_find="mongo.lead_stages.aggregate",
)
POINTS = [
    Point("smtp.data", 2, "after"),  # sent, not recorded
    Point("mongo.effects.bulk", 2, "after"),  # sent and recorded, the run has not gone on
    Point("mongo.lead_stages.insert_many", 1, "after"),  # in the next stage, not out of this one
    Point("mongo.notes.insert_many", 1, "after"),  # written, the run has not gone on
]


@pytest.mark.slow
@pytest.mark.covers("LP-03", "LP-15", "LP-X3")
async def test_killed_at_every_call(environment: dict[str, str], tmp_path: Path, figure: list[str]) -> None:
    settings = {**environment, **NO_SOCKETS}
    points = await LEADS.points(settings, tmp_path)
    assert {point.failpoint for point in POINTS} < {point.failpoint for point in points}
    figure.append(await survive_all([(LEADS, point) for point in points], settings, tmp_path))


@pytest.mark.slow
@pytest.mark.covers("LP-15", "LP-X3")
async def test_killed_between_two_calls(environment: dict[str, str], tmp_path: Path, figure: list[str]) -> None:
    settings = {**environment, **NO_SOCKETS}
    figure.append(await survive_all([(LEADS, point) for point in POINTS], settings, tmp_path))
