"""A user who is inactive, missing or of another account becomes neither owner, nor follower, nor creator."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.request import read_request, refuse_foreign
from pipeline_engine.errors import Permanent
from tests.support.automations import deal_of, logs_of, run
from tests.support.engine_app import EngineApp
from tests.support.world import World

CONFIGS: dict[str, dict[str, Any]] = {
    "owner": {"owner_id": "them"},
    "follower": {"follower_ids": ["us", "them"]},
    "instareport": {"created_by": "them", "report_type": "seo"},
    "instasite": {"created_by": "them", "site_template_id": "t"},
}
KINDS = {"inactive": "inactive users", "missing": "no such users", "foreign": "users of another account"}


def user(world: World, kind: str) -> ObjectId:
    id = ObjectId()
    if kind != "missing":
        account = ObjectId() if kind == "foreign" else world.account
        world.db["users"].insert_one({"_id": id, "account": account, "active": kind != "inactive"})
    return id


def configured_for(world: World, type: str, them: object) -> ObjectId:
    stand = {"them": them, "us": world.user}
    config = {
        name: [stand.get(one, one) for one in value] if isinstance(value, list) else stand.get(value, value)
        for name, value in CONFIGS[type].items()
    }
    return world.automation(type, **config)


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type", CONFIGS)
async def test_such_a_user_is_refused_with_a_reason(
    world: World, app: EngineApp, type: str, kind: str, as_text: bool
) -> None:
    them = user(world, kind)
    automation = configured_for(world, type, str(them) if as_text else them)
    deals = [world.deal(followers=[]) for _ in range(2)]

    await run(app, automation)

    for deal in deals:
        found = deal_of(world, deal)
        assert (found["owner"], found["followers"], found["automation_triggered"]) == (world.user, [], [])
        assert found["automation_failed"] == [automation]
    (log,) = logs_of(world, automation)
    assert {one["message"] for one in log["failed"]} == {f"{KINDS[kind]}: {them}"}
    assert world.db["effects"].count_documents({}) == 0


@pytest.mark.parametrize("type", ["owner", "follower"])
async def test_an_account_whose_users_the_crm_keeps_elsewhere_may_name_any(
    world: World, app: EngineApp, type: str
) -> None:
    world.db["users"].delete_many({"account": world.account})
    automation, deal = configured_for(world, type, ObjectId()), world.deal()
    await run(app, automation)
    assert deal_of(world, deal)["automation_triggered"] == [automation]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_import_in_such_a_user_s_name_is_refused(world: World, app: EngineApp, kind: str) -> None:
    them = user(world, kind)
    request = read_request(world.import_of(world.queue("imports/a.csv", user_id=them)))
    with pytest.raises(Permanent, match=f"{KINDS[kind]}: {them}"):
        await refuse_foreign(app, request)
