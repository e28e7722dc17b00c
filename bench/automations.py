"""(a) tags and (b) mails against bare loops, (c) a look among many settled deals, (d) time to the effect, (e) fairness
under an account's limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from aiosmtplib import SMTP
from bson import ObjectId
from pymongo import UpdateOne

from bench.program import REST_SECONDS, create_indexes, environment, run_once, running_daemon, wait_until
from bench.row import Row
from pipeline_engine.providers.email_message import Mail, write_message
from tests.support.own_loop import on_own_loop
from tests.support.stand_ins.twilio import Twilio
from tests.support.world import World

MANY = 16_000
BATCH = 1000
ROUNDS = 3
CONNECTIONS = 5
SETTLED_FEW, SETTLED_MANY = 10_000, 1_000_000
DUE = 100
LOOKS = 5
ENTRIES = 20
NEIGHBOURS = 50
LIMIT = 60

Document = dict[str, Any]


def run(servers: Mapping[str, str]) -> list[Row]:
    return [_tags(servers), _mails(servers), _look(servers), _entry(servers), _fairness(servers)]


def _tags(servers: Mapping[str, str]) -> Row:
    rounds = [_tag_round(environment(servers, f"bench_tags{n}")) for n in range(ROUNDS)]
    ours, floor = median(MANY / one for one, _ in rounds), median(MANY / other for _, other in rounds)
    return Row(
        f"add_tag for {MANY:,} deals due at once, sweep to last mark",
        f"{ours:,.0f} deals/s",
        f"{floor:,.0f} deals/s: bare update_many over the same ids, {BATCH:,} at a time",
        f"{ours / floor:.2f}",
        "≥ 0.3",
        f"ratios of {ROUNDS} rounds: {', '.join(f'{other / one:.2f}' for one, other in sorted(rounds))}",
    )


def _tag_round(settings: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of ours and of the floor, on the same deals and indexes."""
    world, tag = World(settings), ObjectId()
    create_indexes(settings)
    ids = _deals(world, MANY)
    automation = world.automation("add_tag", tag=tag)
    ours = run_once(settings, sweep="deals.automations").seconds
    assert world.db["deals"].count_documents({"tags": tag, "automation_triggered": automation}) == MANY
    mark, began = ObjectId(), time.perf_counter()
    for at in range(0, MANY, BATCH):
        change = {"tags": mark, "automation_triggered": mark}
        world.db["deals"].update_many({"_id": {"$in": ids[at : at + BATCH]}}, {"$addToSet": change})
    floor = time.perf_counter() - began
    world.close()
    return ours, floor


def _mails(servers: Mapping[str, str]) -> Row:
    settings = environment(servers, "bench_mails")
    world = World(settings)
    create_indexes(settings)
    _deals(world, MANY)
    template = {"_id": ObjectId(), "account_id": world.account, "subject": "Hello", "html": "<p>Hi {{ deal.name }}</p>"}
    world.db["email_templates"].insert_one(template)
    world.automation("email", email_template_id=template["_id"])
    floor_before = asyncio.run(_bare_mails(settings))
    ours = MANY / run_once(settings, sweep="deals.automations").seconds
    floor_after = asyncio.run(_bare_mails(settings))
    world.close()
    floor = (floor_before + floor_after) / 2
    return Row(
        f"{MANY:,} e-mails, sweep to last mark",
        f"{ours:,.0f} mails/s",
        f"{floor:,.0f} mails/s: bare loop of aiosmtplib, {CONNECTIONS} connections",
        f"{ours / floor:.2f}",
        "≥ 0.6",
        f"floor before {floor_before:,.0f}, after {floor_after:,.0f}; it renders, records and marks nothing",
    )


async def _bare_mails(settings: Mapping[str, str]) -> float:
    """Messages per second with nothing around them."""
    host, port = settings["SMTP_URL"].removeprefix("smtp://").split(":")
    sender, mail = settings["SMTP_FROM"], Mail("ada@example.com", "Hello", "Hi Test Deal", "<p>Hi Test Deal</p>")
    message = write_message(mail, sender, "<x@example.com>", datetime.now(UTC))

    async def send(count: int) -> None:
        async with SMTP(hostname=host, port=int(port), start_tls=False) as client:
            for _ in range(count):
                await client.mail(sender)
                await client.rcpt(mail.to)
                await client.data(message)

    began = time.perf_counter()
    await asyncio.gather(*(send(MANY // CONNECTIONS) for _ in range(CONNECTIONS)))
    return MANY / (time.perf_counter() - began)


def _look(servers: Mapping[str, str]) -> Row:
    few = _among(environment(servers, "bench_look1"), SETTLED_FEW)
    many = _among(environment(servers, "bench_look2"), SETTLED_MANY)
    return Row(
        f"{DUE} due deals among {SETTLED_MANY:,} settled ones, insert to last mark",
        f"{many * 1000:.0f} ms",
        f"{few * 1000:.0f} ms among {SETTLED_FEW:,}",
        f"{many / few:.2f}",
        "≤ 1.5",
        f"in a running daemon that has looked at everything once; median of {LOOKS}",
    )


def _among(settings: Mapping[str, str], settled: int) -> float:
    world, tag = World(settings), ObjectId()
    create_indexes(settings)
    automation = world.automation("add_tag", tag=tag)
    _deals(world, settled, automation_triggered=[automation], automation_starts=_ago(minutes=10))
    with running_daemon(settings):
        # As in a daemon that has run for a while: the last look at everything came after the stream was open.
        looked = {"_id": automation, "watermark.looked_at": {"$gt": _ago()}, "run": None}
        _until_tagged(world, tag)
        wait_until(lambda: world.db["automations"].find_one(looked), 300)
        seconds = [_until_tagged(world, tag) for _ in range(LOOKS)]
    world.close()
    return median(seconds)


def _until_tagged(world: World, tag: ObjectId) -> float:
    began = time.perf_counter()
    ids = _deals(world, DUE, automation_starts=datetime.now(UTC))
    wait_until(lambda: world.db["deals"].count_documents({"_id": {"$in": ids}, "tags": tag}) == DUE)
    return time.perf_counter() - began


def _entry(servers: Mapping[str, str]) -> Row:
    settings = environment(servers, "bench_entry")
    world, tag = World(settings), ObjectId()
    create_indexes(settings)
    world.automation("add_tag", tag=tag)
    with running_daemon(settings):
        waits = sorted(_until_effect(world, tag) for _ in range(ENTRIES + 3))[:-3]
    world.close()
    return Row(
        "from a deal entering a stage to the effect of an automation without delay",
        f"{median(waits) * 1000:.0f} ms",
        "the sweep's 60 s without change streams",
        f"{median(waits) / 60:.4f}",
        "< 300 ms",
        f"median of {ENTRIES}, slowest {waits[-1] * 1000:.0f} ms; the three slowest of the start left out",
    )


def _until_effect(world: World, tag: ObjectId) -> float:
    deal = world.deal(stage_id=ObjectId())
    time.sleep(0.3)  # deals come one by one, not on the heels of the last one
    began = time.perf_counter()
    entered = {"stage_id": world.stage, "automation_starts": datetime.now(UTC)}
    world.db["deals"].update_one({"_id": deal}, {"$set": entered})
    wait_until(lambda: world.db["deals"].find_one({"_id": deal, "tags": tag}, projection=["_id"]))
    return time.perf_counter() - began


def _fairness(servers: Mapping[str, str]) -> Row:
    with on_own_loop(Twilio()) as twilio:
        settings = {**environment(servers, "bench_fair"), **twilio.environment()}
        big = World(settings)
        create_indexes(settings)
        big.db["_accounts"].update_one({"_id": big.account}, {"$set": {"limits": {"sms": LIMIT}}})
        _deals(big, MANY)
        big.automation("sms", message="from the big one")
        small = [big.neighbour() for _ in range(NEIGHBOURS)]
        waiting = {world: world.deal(stage_id=ObjectId()) for world in small}
        for world in small:
            world.automation("sms", message="from a small one")
        with running_daemon(settings):
            wait_until(lambda: len(twilio.messages) >= LIMIT)
            time.sleep(REST_SECONDS)
            began = time.perf_counter()
            now = datetime.now(UTC)
            big.db["deals"].bulk_write(
                [
                    UpdateOne({"_id": id}, {"$set": {"stage_id": world.stage, "automation_starts": now}})
                    for world, id in waiting.items()
                ]
            )
            wait_until(lambda: sum(one.body == "from a small one" for one in twilio.messages) == NEIGHBOURS)
            seconds = time.perf_counter() - began
        sent = sum(one.body == "from the big one" for one in twilio.messages)
        for world in (big, *small):
            world.close()
    assert sent <= 2 * LIMIT, "the big account's limit does not hold"
    return Row(
        f"{NEIGHBOURS} accounts with one SMS each, beside one with {MANY:,} under a limit of {LIMIT} a minute",
        f"{seconds:.2f} s until the last of the {NEIGHBOURS}",
        "2 s",
        f"{seconds / 2:.2f}",
        "≤ 1",
        f"in a daemon that has run the daily jobs; the big one had sent {sent} by then",
    )


def _deals(world: World, count: int, **changes: Any) -> list[ObjectId]:
    """Insert so many deals that entered the stage of the world; returns their ids."""
    deal = world.db["deals"].find_one({"_id": world.deal(**changes)}) or {}
    world.db["deals"].delete_one({"_id": deal["_id"]})
    ids = [ObjectId() for _ in range(count)]
    for some in _chunks(ids, 5000):
        world.db["deals"].insert_many([{**deal, "_id": id} for id in some])
    return ids


def _chunks(ids: list[ObjectId], size: int) -> Iterable[list[ObjectId]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


def _ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)
