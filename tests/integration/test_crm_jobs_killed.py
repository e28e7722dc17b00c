"""Scheduled jobs of which the process is killed by SIGKILL in the middle: the next run comes to the same end."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.support.command_line import Subprocess
from tests.support.contacts import ready
from tests.support.credentials import credential
from tests.support.crm_events import contact
from tests.support.stand_ins.apollo import Apollo
from tests.support.stand_ins.google import Google
from tests.support.stand_ins.token_endpoint import TokenEndpoint
from tests.support.world import World

pytestmark = pytest.mark.slow
SHORT_LEASE = {"LEASE_SECONDS": "5", "HEARTBEAT_SECONDS": "0.5"}
"""Short for the wait after a kill, and long enough for a busy machine: a process that cannot trust its lease puts a
credential off by 20 s and the slot by 30 s."""
PEOPLE = 12
DAY = timedelta(days=1)
Document = dict[str, Any]
KEY = Fernet.generate_key().decode()


class Outside:
    """The services that the jobs call."""

    def __init__(self, apollo: Apollo, google: Google, tokens: TokenEndpoint) -> None:
        self.apollo, self.google, self.tokens = apollo, google, tokens


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with Apollo() as apollo, Google() as google, TokenEndpoint() as tokens:
        yield Outside(apollo, google, tokens)


def faded(world: World, _outside: Outside) -> None:
    for _ in range(PEOPLE):
        id = contact(world, intent_score=60.0, intent_level="high")
        signal = {"account_id": world.account, "contact_id": id, "type": "demo_request", "points": 50}
        world.db["intent_signals"].insert_one({**signal, "occurred_at": datetime.now(UTC) - 10.5 * DAY})


def ready_leads(world: World, _outside: Outside) -> None:
    for _ in range(PEOPLE):
        ready(world)


def lost_leads(world: World, _outside: Outside) -> None:
    now = datetime.now(UTC)
    for _ in range(PEOPLE):
        id = contact(world, status="lost", status_changed_at=now - 100 * DAY)
        view = {"account_id": world.account, "contact_id": id, "type": "page_view"}
        world.db["activities"].insert_one({**view, "occurred_at": now - DAY})


def unknown_people(world: World, outside: Outside) -> None:
    for _ in range(PEOPLE):
        id = contact(world)
        outside.apollo.knows(f"{id}@example.com", title="CEO")


def sheet(world: World, outside: Outside) -> None:
    rows: list[list[object]] = [[f"p{n}@acme.com"] for n in range(PEOPLE)]
    outside.google.sheets["s"] = [["E-mail"], *rows]
    what = {"spreadsheet_id": "s", "range": "A1:B", "column_map": {"E-mail": "email"}}
    world.db["forms"].insert_one({"account_id": world.account, "google_sheet": what})


def credentials(world: World, outside: Outside) -> None:
    for _ in range(PEOPLE):
        credential(world, outside.tokens)


def count(world: World, collection: str, **query: Any) -> int:
    return world.db[collection].count_documents(query)


def decayed(world: World) -> tuple[int, ...]:
    return (
        count(world, "contacts", intent_score=30, intent_level="medium", events_due=None),
        count(world, "crm_events", type="intent.crossed"),
    )


def became_mql(world: World) -> tuple[int, ...]:
    return (
        count(world, "contacts", lifecycle_stage="mql", lifecycle_due=None),
        count(world, "contact_lifecycle_history"),
        count(world, "crm_events", type="lifecycle.changed"),
    )


def recycled(world: World) -> tuple[int, ...]:
    return (
        count(world, "contacts", status="recycled", recycling_due=None),
        count(world, "lead_recycling"),
        count(world, "tasks"),
    )


def enriched(world: World) -> tuple[int, ...]:
    return (
        count(world, "contacts", title="CEO", **{"enriched.title": "CEO"}),
        count(world, "crm_events", type="contact.updated"),
    )


def submitted(world: World) -> tuple[int, ...]:
    return (
        count(world, "form_submissions"),
        count(world, "contacts", email={"$regex": "acme"}),
        count(world, "crm_events", type="form.submitted"),
    )


def refreshed(world: World) -> tuple[int, ...]:
    return count(world, "integration_credentials", version=4, status="ok", lease_owner=None), PEOPLE


CASES = [
    ("crm.intent_decay", "mongo.contacts.bulk", 1, "after", faded, decayed),
    ("crm.intent_decay", "mongo.crm_events.insert_one", 5, "after", faded, decayed),
    ("crm.lifecycle", "mongo.contact_lifecycle_history.insert_many", 1, "before", ready_leads, became_mql),
    ("crm.lead_recycling", "mongo.tasks.insert_many", 1, "after", lost_leads, recycled),
    ("crm.contact_sync", "mongo.contacts.find_one_and_update", 5, "after", unknown_people, enriched),
    ("crm.sheet_sync", "mongo.form_submissions.insert_many", 1, "after", sheet, submitted),
    ("crm.sheet_sync", "mongo.sheet_syncs.update_one", 2, "before", sheet, submitted),
    ("crm.token_check", "token_endpoint.post", 5, "before", credentials, refreshed),
    ("crm.token_check", "mongo.integration_credentials.find_one_and_update", 7, "after", credentials, refreshed),
]


@pytest.mark.parametrize(("job", "point", "nth", "when", "given", "end"), CASES)
async def test_a_killed_process_leaves_work_that_the_next_run_ends(
    world: World,
    environment: dict[str, str],
    tmp_path: Path,
    outside: Outside,
    job: str,
    point: str,
    nth: int,
    when: str,
    given: Callable[[World, Outside], None],
    end: Callable[[World], tuple[int, ...]],
) -> None:
    given(world, outside)
    services = {**outside.apollo.environment(), **outside.google.environment(tmp_path)}
    keys = {"CREDENTIALS_KEYS": KEY, "APOLLO_CALLS_PER_MINUTE": "1000"}
    program = Subprocess({**environment, **services, **keys, **SHORT_LEASE}, tmp_path)
    plan = {"failpoint": point, "do": "kill", "when": when, "nth": nth}
    fault = {"FAULT_TESTING": "1", "FAULT_PLAN": json.dumps(plan)}

    async def run(**changes: str) -> subprocess.CompletedProcess[str]:
        # In a thread, because the services are served by this process.
        return await asyncio.to_thread(program, "run-once", job, "events.outbox", **changes)

    assert (await run(**fault)).returncode == -signal.SIGKILL
    again = await run()
    assert again.returncode == 0, again.stderr
    third = await run()  # it finds nothing to do
    assert third.returncode == 0, third.stderr

    assert set(end(world)) == {PEOPLE}
    assert world.db["cron_slots"].count_documents({"state": "failed"}) == 0
