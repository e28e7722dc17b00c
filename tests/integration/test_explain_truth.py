"""`explain` decides from documents what sweeps and runs ask MongoDB: both must say the same of every deal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations import matching
from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.automations.conditions import (
    flagged,
    of_automation,
    of_deal,
    others_first,
    present,
    unsettled,
)
from pipeline_engine.domain.explanation import holds
from tests.support.engine_app import EngineApp
from tests.support.world import World

Document = dict[str, Any]

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
CREATED, AGAIN = NOW - timedelta(hours=5), NOW - timedelta(hours=3)
HOUR, MILLISECOND = timedelta(hours=1), timedelta(milliseconds=1)
ID, ACCOUNT, STAGE = ObjectId(), ObjectId(), ObjectId()
NOTHING = object()
"""The field is not there at all."""


def automation(**changes: object) -> Automation:
    document = {"_id": ID, "type": "add_tag", "account_id": ACCOUNT, "stage_id": STAGE, "createdAt": CREATED}
    return read_automation({**document, **changes})


AUTOMATIONS = [
    automation(),
    automation(delay=3600),
    automation(active_from=AGAIN),
    automation(reentry="per_entry"),
    automation(reentry="per_entry", delay=3600, active_from=AGAIN),
]
EDGES = [CREATED, AGAIN, NOW - HOUR, NOW]
ENTERED = AGAIN + timedelta(minutes=30)
LISTS = [[], NOTHING, None, [ID], [str(ID)], [ObjectId(), ID], [ObjectId()], ID, str(ID)]
# In each list the first value lets the deal match every automation above.
FIELDS: dict[str, Sequence[Any]] = {
    "account_id": [ACCOUNT, str(ACCOUNT), ObjectId(), None, NOTHING],
    "stage_id": [STAGE, str(STAGE), ObjectId(), None, NOTHING],
    "automation_starts": [
        ENTERED,
        *(edge + step for edge in EDGES for step in (-MILLISECOND, timedelta(), MILLISECOND)),
        None,
        NOTHING,
        "2026-01-10",
    ],
    "automation_triggered": LISTS,
    "automation_failed": LISTS,
    "skip_automations": LISTS,
    "retry_automations": LISTS,
    "automation_generation": [
        NOTHING,
        None,
        {str(ID): 2},
        {str(ID): {"entry": ENTERED}},
        {str(ID): {"entry": ENTERED - HOUR, "repeats": 1}},
        {str(ID): {"entry": "yesterday"}},
        {str(ObjectId()): {"entry": ENTERED - HOUR}},
    ],
}


def deals() -> Iterator[Document]:
    """Every pair of values of every two fields, the others as they should be."""
    right = {name: values[0] for name, values in FIELDS.items()}
    for (one, some), (other, more) in combinations(FIELDS.items(), 2):
        for value, another in product(some, more):
            deal = {**right, one: value, other: another}
            yield {"_id": ObjectId(), **{name: value for name, value in deal.items() if value is not NOTHING}}


@pytest.mark.covers("DA-10", "DA-11")
async def test_of_a_deal_the_conditions_say_what_the_filters_say(app: EngineApp) -> None:
    every = list(deals())
    await app.database["deals"].insert_many(every)
    # As MongoDB gives them back.
    every = await app.database["deals"].find().to_list(None)

    for one in AUTOMATIONS:
        fresh = await ids(app, matching.fresh(one, NOW))
        again = await ids(app, matching.flagged(one, NOW))
        assert len(fresh) > 50
        assert len(again) > 10
        for deal in every:
            here = present(one, deal, NOW)
            said = (holds([*here, *unsettled(one, deal)]), holds([*here, flagged(one, deal)]))
            assert said == (deal["_id"] in fresh, deal["_id"] in again), (one, deal)
            assert holds(of_deal(one, deal, NOW)) == (deal["_id"] in fresh | again), (one, deal)


@pytest.mark.covers("DA-X9")
async def test_of_the_others_of_the_stage_as_well(app: EngineApp) -> None:
    every = list(deals())
    await app.database["deals"].insert_many(every)
    every = await app.database["deals"].find().to_list(None)

    for siblings in [[], *([one] for one in AUTOMATIONS), AUTOMATIONS]:
        through = await ids(app, matching.others_first(siblings, NOW))
        for deal in every:
            assert holds([others_first(siblings, deal, NOW)]) == (deal["_id"] in through), (siblings, deal)


async def ids(app: EngineApp, query: Document) -> set[ObjectId]:
    return {deal["_id"] for deal in await app.database["deals"].find(query, projection=["_id"]).to_list(None)}


@pytest.mark.covers("DA-06", "DA-08")
async def test_of_an_automation_the_conditions_say_what_the_sweep_asks(app: EngineApp, world: World) -> None:
    now = datetime.now(UTC)
    minute, inactive = timedelta(minutes=1), world.neighbour()
    world.db["_accounts"].update_one({"_id": inactive.account}, {"$set": {"active": False}})
    older = {"is_running": True, "updatedAt": now - timedelta(minutes=9)}
    cases: list[Document] = [
        {},
        {"status": "INACTIVE"},
        {"status": "active"},
        {"module": "LEAD"},
        {"account_id": str(world.account)},
        {"account_id": inactive.account},
        {"account_id": ObjectId()},
        {"delay": None},
        {"next_at": now + minute},
        {"next_at": now - minute},
        {"paused_until": now + minute},
        {"paused_until": now - minute},
        {"paused_until": None},
        {"lease_until": now + minute, "lease_owner": "host:1:aa", "is_running": True},
        {"lease_until": now - minute, "lease_owner": "host:1:aa", "is_running": True},
        older,
        {**older, "updatedAt": now - timedelta(minutes=11)},
        {**older, "updatedAt": None, "flag_seen_at": now - timedelta(minutes=9)},
        {**older, "updatedAt": None, "flag_seen_at": now - timedelta(minutes=11)},
        {**older, "updatedAt": None},
        {**older, "is_running": False},
    ]
    made = [world.automation("add_tag", **case) for case in cases]

    ready = {one["_id"] for one in await app.repos.automations.find_ready()}

    assert 5 < len(ready) < len(cases)
    for id, case in zip(made, cases, strict=True):
        document = await app.repos.automations.get(id)
        assert document is not None
        active = await app.repos.automations.account_is_active(ObjectId(document["account_id"]))
        conditions = of_automation(document, read_automation(document), active, app.clock.now())
        assert holds(conditions) == (id in ready), case
    inactive.close()
