"""What every leased collection guarantees, whatever its documents are: one suite over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings, workers
from pipeline_engine.repos.automations import Automations
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.cron_slots import CronSlots
from pipeline_engine.repos.email_accounts import EmailAccounts
from pipeline_engine.repos.enrollments import Enrollments
from pipeline_engine.repos.event_lines import EventLines
from pipeline_engine.repos.funnel_steps import FunnelSteps
from pipeline_engine.repos.funnels import Funnels
from pipeline_engine.repos.import_chunks import ImportChunks
from pipeline_engine.repos.imports import Imports
from pipeline_engine.repos.integration_credentials import IntegrationCredentials
from pipeline_engine.repos.lead_stages import LeadStages
from pipeline_engine.repos.lease import Lease
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.webhooks import Webhooks
from tests.support.engine_app import EngineApp
from tests.support.world import World

DAEMONS = 10


@dataclass(frozen=True)
class Kind:
    """A leased collection, a document of it that is due, and a field of it that a run may set."""

    repo: Callable[..., Leased]
    due: Document
    field: str = "note"


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
KINDS = {
    "queues": Kind(Imports, {"source": "deals", "status": "pending"}),
    "import_chunks": Kind(ImportChunks, {"queue_id": ObjectId(), "n": 0, "state": "open"}),
    "event_lines": Kind(EventLines, {}),
    "webhooks": Kind(Webhooks, {}),
    "workflow_enrollments": Kind(Enrollments, {"status": "active", "workflow_id": ObjectId(), "next_at": LONG_AGO}),
    "automations": Kind(Automations, {"status": "ACTIVE", "module": "DEAL"}),
    "funnels": Kind(Funnels, {"pending": True}),
    "funnel.step": Kind(FunnelSteps, {"clone_state": "open"}),
    "lead_stages": Kind(LeadStages, {"status": "entering"}),
    "email_accounts": Kind(EmailAccounts, {"active": True}),
    "cron_slots": Kind(CronSlots, {"job": "crm.none", "slot": "2026-01-01", "state": "due"}),
    "integration_credentials": Kind(IntegrationCredentials, {"status": "ok"}),
}

pytestmark = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def repo_of(kind: Kind, app: EngineApp, owner: str) -> Leased:
    return kind.repo(replace(app.store, lease=Lease(owner, 15)))


def insert(kind: Kind, world: World, **fields: Any) -> Any:
    document = {"_id": ObjectId(), "account_id": world.account, **kind.due, **fields}
    return world.db[_name(kind)].insert_one(document).inserted_id


def stored(kind: Kind, world: World, id: Any) -> Document:
    found = world.db[_name(kind)].find_one({"_id": id})
    assert found is not None
    return found


def _name(kind: Kind) -> str:
    return next(name for name, one in KINDS.items() if one is kind)


async def claimed(kind: Kind, app: EngineApp, id: Any, owner: str = "one") -> tuple[Leased, Document]:
    repo = repo_of(kind, app, owner)
    held = await repo.claim(id)
    assert held is not None
    return repo, held


def crashes(repo: Leased, held: Document) -> int:
    return repo.crashes_of(held)


def test_every_leased_collection_is_in_this_suite(kind: Kind) -> None:
    specs = workers.collections(settings.load(_env_file=None))
    assert {spec.name for spec in specs if spec.lease} == set(KINDS)


async def test_of_many_claims_at_once_one_succeeds(kind: Kind, world: World, app: EngineApp) -> None:
    id = insert(kind, world)

    won = await asyncio.gather(*(repo_of(kind, app, f"daemon {n}").claim(id) for n in range(DAEMONS)))

    (held,) = [one for one in won if one]
    assert (held["token"], stored(kind, world, id)["lease_owner"]) == (1, held["lease_owner"])


async def test_the_legacy_flag_mirrors_the_lease(kind: Kind, world: World, app: EngineApp) -> None:
    id = insert(kind, world)
    repo, held = await claimed(kind, app, id)
    flag = repo.lease_spec.flag
    assert flag is None or stored(kind, world, id)[flag] is True

    await repo.release(held)

    free = stored(kind, world, id)
    assert (free["lease_owner"], free["lease_until"]) == (None, None)
    assert flag is None or free[flag] is False


async def test_a_flag_of_an_older_engine_counts_for_its_time(kind: Kind, world: World, app: EngineApp) -> None:
    repo = repo_of(kind, app, "one")
    if (flag := repo.lease_spec.flag) is None:
        return
    counts = repo.lease_spec.legacy_flag_counts
    now = datetime.now(UTC)
    fresh = insert(kind, world, **{flag: True}, updatedAt=now - counts + timedelta(minutes=1))
    stale = insert(kind, world, **{flag: True}, updatedAt=now - counts - timedelta(minutes=1))

    assert await repo.claim(fresh) is None
    assert await repo.claim(stale) is not None


async def test_a_document_that_is_released_is_claimed_again_without_a_crash(
    kind: Kind, world: World, app: EngineApp
) -> None:
    id = insert(kind, world)
    repo, held = await claimed(kind, app, id)
    await repo.release(held)

    _, again = await claimed(kind, app, id, "two")

    assert (again["token"], crashes(repo, again)) == (2, 0)


async def test_a_lease_that_ran_out_is_taken_over_and_counted_as_a_crash(
    kind: Kind, world: World, app: EngineApp
) -> None:
    id = insert(kind, world)
    repo, _ = await claimed(kind, app, id)
    world.abandon(_name(kind), id)

    _, heir = await claimed(kind, app, id, "two")

    assert (heir["token"], crashes(repo, heir)) == (2, 1)


async def test_a_holder_whose_lease_ran_out_changes_nothing(kind: Kind, world: World, app: EngineApp) -> None:
    id = insert(kind, world)
    slow, held = await claimed(kind, app, id)
    world.abandon(_name(kind), id)
    await claimed(kind, app, id, "two")
    before = stored(kind, world, id)

    assert await slow.change(held, {"note": "late"}) is None
    assert await slow.release(held, {"note": "late"}) is None
    assert not await slow.write(held, {"note": "late"})
    await slow.put_off(held, 1, "late")

    assert stored(kind, world, id) == before


async def test_a_value_that_looks_like_an_expression_stays_a_value(kind: Kind, world: World, app: EngineApp) -> None:
    id = insert(kind, world)
    repo, held = await claimed(kind, app, id)

    changed = await repo.change(held, {"note": "$token"})

    assert changed is not None
    assert changed["note"] == "$token"


async def test_a_shutdown_releases_what_the_process_holds(kind: Kind, world: World, app: EngineApp) -> None:
    id = insert(kind, world)
    await claimed(kind, app, id, app.owner)

    await app.heartbeat.release()

    repo, again = await claimed(kind, app, id, "successor")
    assert crashes(repo, again) == 0
