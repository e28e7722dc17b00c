"""How a send ended is said when its record says so too."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence

import pytest
from bson import ObjectId

from pipeline_engine.domain.messages import sending_results as looking
from pipeline_engine.domain.messages.message import Recorded
from pipeline_engine.domain.messages.send_result import Delivered, SendResult
from pipeline_engine.domain.messages.sending_results import sending_results
from pipeline_engine.repos.effects import Begin, Effects, End
from tests.support.engine_app import EngineApp
from tests.support.world import World

LOOKS = 50


@pytest.mark.covers("R-14")
async def test_a_send_has_ended_when_its_record_is_stored(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB is slow to store the end: as a reader looks meanwhile, it does not see one."""
    monkeypatch.setattr(looking, "LOOK_SECONDS", 0.0)
    write = Effects.write

    async def slowly(effects: Effects, account_id: ObjectId, changes: Sequence[Begin | End]) -> list[bool | Exception]:
        for _ in range(LOOKS if any(isinstance(change, End) for change in changes) else 0):
            await asyncio.sleep(0)
        return await write(effects, account_id, changes)

    monkeypatch.setattr(Effects, "write", slowly)

    async def send(key: str, recorded: Recorded) -> str | None:
        await recorded()
        return f"<{key}>"

    async def no_more() -> None:
        raise AssertionError("no call hangs")

    async def all_wanted(keys: Collection[str]) -> Collection[str]:
        return keys

    units, ended = {"a": send, "b": send, "c": send}, dict[str, SendResult]()
    async for results in sending_results(
        app,
        world.account,
        "email",
        units,
        still_wanted=all_wanted,
        places=2,
        until=math.inf,
        attempts=3,
        when_hanging=no_more,
    ):
        records = await app.shared.effects.records(world.account, list(results))
        assert {key: (record["state"], record["provider_id"]) for key, record in records.items()} == {
            key: ("sent", f"<{key}>") for key in results
        }
        ended |= results
    assert ended == dict.fromkeys(units, Delivered())
