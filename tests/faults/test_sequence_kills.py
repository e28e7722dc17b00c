"""A sequence of three mails for 500 contacts while daemons are killed: each contact's outcome is right, and each mail
comes once, or is flagged."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from bson import ObjectId

from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.sequences import contact, enroll, read, sequence
from tests.support.stand_ins.mail_server import MailServer
from tests.support.world import World

KILLS, CONTACTS = 8, 500
SHARES = {"replied": 60, "unsubscribed": 50, "bounced": 40, "auto": 40, "soft": 20}
"""How many contacts answer, unsubscribe, bounce, are away or have a full mailbox after their first mail."""
EVENTS: dict[str, tuple[str, dict[str, object]]] = {
    "replied": ("email.replied", {}),
    "auto": ("email.replied", {"auto": True}),
    "bounced": ("email.bounced", {"bounce_type": "hard"}),
    "soft": ("email.bounced", {"bounce_type": "soft"}),
}


def kinds(contacts: list[ObjectId]) -> dict[ObjectId, str]:
    """What each contact does after its first mail; `gone` has no mailbox at all."""
    names = [name for name, count in SHARES.items() for _ in range(count)]
    return {
        id: names[n] if n < len(names) else "gone" if n < len(names) + 20 else "silent" for n, id in enumerate(contacts)
    }


def react(world: World, acts: dict[ObjectId, str], done: set[ObjectId]) -> None:
    """Contacts that have their first mail do what they do, once."""
    for one in world.db["workflow_enrollments"].find({"step": {"$gte": 1}}, projection=["contact_id"]):
        id = one["contact_id"]
        if id in done or acts[id] in ("silent", "gone"):
            continue
        done.add(id)
        if acts[id] == "unsubscribed":
            address = {"account_id": world.account, "channel": "email", "address": f"{id}@example.com"}
            world.db["suppressions"].insert_one({**address, "reason": "unsubscribed"})
            continue
        type, data = EVENTS[acts[id]]
        event = {"_id": str(ObjectId()), "type": type, "account_id": world.account, "status": "new"}
        about = {"contact_id": str(id), **data}
        world.db["crm_events"].insert_one({**event, "data": about, "occurred_at": datetime.now(UTC)})


@pytest.mark.slow
@pytest.mark.covers("CL-26", "CL-X12", "R-13")
async def test_every_outcome_is_right_and_every_mail_comes_once_whatever_is_killed(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    contacts = [contact(world) for _ in range(CONTACTS)]
    acts, done, random = kinds(contacts), set[ObjectId](), Random(26)  # noqa: S311
    async with MailServer() as server:
        server.unknown = {f"{id}@example.com" for id, act in acts.items() if act == "gone"}
        server.seconds = 0.002
        given = {**environment, "SMTP_URL": server.url, "SMTP_FROM": "sales@crm.example", "SEQUENCE_RETRY_SECONDS": "1"}
        given |= {"QUEUE_MAX_JOBS_PER_SECOND": "200"}
        id = sequence(world, 0, 6, 6)
        for one in contacts:
            enroll(world, id, one)
        for n in range(KILLS):
            daemon = await _started(given, tmp_path, f"daemon{n}")
            await asyncio.sleep(random.uniform(0.3, 1.5))
            react(world, acts, done)
            await asyncio.sleep(random.uniform(0.05, 0.5))
            daemon.kill()

        def all_ended() -> bool:
            react(world, acts, done)
            return not world.db["workflow_enrollments"].count_documents({"status": {"$in": ["active", "paused"]}})

        daemon = await _started(given, tmp_path, "last")
        try:
            await eventually(all_ended, "all enrolments have ended", 240, daemon)
        finally:
            daemon.kill()
    _check_outcomes(world, acts)
    _check_mails(world, server)


def _check_outcomes(world: World, acts: dict[ObjectId, str]) -> None:
    ends = {"gone": "bounced", "silent": "completed", "auto": "completed", "soft": "completed"}
    doubtful = {str(one["_id"]).split(":")[1] for one in world.db["effects"].find({"ambiguous": True})}
    for one in world.db["workflow_enrollments"].find():
        act = acts[one["contact_id"]]
        right = {ends.get(act, act)}
        # A reaction that came after the third mail was sent ends nothing any more.
        if act in ("replied", "unsubscribed", "bounced") and one["step"] == 3:
            right.add("completed")
        # A mail of which two sends are in doubt is left to a person.
        if str(one["_id"]) in doubtful:
            right.add("failed")
        assert one["status"] in right, (act, one["status"], one.get("reason"))


def _check_mails(world: World, server: MailServer) -> None:
    sent = Counter(str(read(mail.raw)["Message-ID"]) for mail in server.received)
    flagged = {one["_id"].replace(":", ".") for one in world.db["effects"].find({"ambiguous": True})}
    twice = {id for id, times in sent.items() if times > 1}
    assert {id.strip("<>").partition("@")[0] for id in twice} <= flagged
    assert not [id for id, times in sent.items() if times > 2]
    keys = {id.strip("<>").partition("@")[0].replace(".", ":") for id in sent}
    recorded = {one["_id"] for one in world.db["effects"].find({"state": "sent"})}
    assert recorded <= keys
    rows = world.db["activities"].count_documents({"type": "sequence_email"})
    assert rows == len(recorded)


async def _started(environment: dict[str, str], folder: Path, name: str) -> Daemon:
    daemon = Daemon(environment, folder, name)
    await eventually(lambda: daemon.ready, "a daemon is ready", 30, daemon)
    return daemon
