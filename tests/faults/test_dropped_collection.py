"""A collection that is dropped in mid-import and comes back with duplicates and without its indexes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.world import World


@pytest.mark.slow
async def test_daemons_start_and_import_beside_stages_that_clash(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    stages = world.db["pipeline_stages"]
    stages.drop()
    twin = {"account_id": world.account, "pipeline_id": world.pipeline, "name": "won", "name_key": "won"}
    stages.insert_many([{"_id": ObjectId(), "position": 0, **twin} for _ in range(2)])
    names = [f"stage {number}" for number in range(39)]
    text = "Deal|Stage\n" + "".join(f"Deal|{name}\n" for name in [*names, "won"] * 20)

    daemons = [Daemon(environment, tmp_path, f"daemon{number}") for number in range(2)]
    try:
        for daemon in daemons:
            await eventually(partial(daemon.said, "daemon.started"), "the daemon starts", 60, daemon)
        for daemon in daemons:  # one that met the other's build in progress says it at its next check, after a minute
            await eventually(partial(daemon.said, "index.not_created"), "the missing index is named", 90, daemon)
        queues = [world.submit(text, {"Deal": "name", "Stage": "stage_id"}) for _ in range(4)]
        ended = lambda: all(world.import_of(id)["status"] == "completed" for id in queues)  # noqa: E731
        await eventually(ended, "the imports end", 90, *daemons)
    finally:
        for daemon in daemons:
            daemon.kill()

    assert stages.count_documents({}) == len(names) + 2
