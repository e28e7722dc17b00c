"""`quarantine` and what `doctor` says of it."""

from __future__ import annotations

import asyncio

from bson import ObjectId

from pipeline_engine import settings
from tests.support.command_line import CommandLine
from tests.support.engine_app import open_app
from tests.support.world import World


def set_aside(engine: CommandLine, *documents: object) -> None:
    async def add() -> None:
        async with open_app(settings.from_environment(engine.environment)) as app:
            for document in documents:
                await app.shared.quarantine.add("queues", document, "cannot be claimed: too large \x1b[2J")

    asyncio.run(add())


def test_what_was_set_aside_is_listed_shown_and_released(engine: CommandLine, world: World) -> None:
    assert engine("quarantine").stdout == "nothing is in quarantine\n"
    assert engine("doctor").returncode == 0
    set_aside(engine, "text id", world.queue("none.csv"), "text id")
    ids = {one["document_id"]: one["_id"] for one in world.db["quarantine"].find()}

    doctor = engine("doctor")
    assert doctor.returncode == 1
    assert "fails   quarantine" in doctor.stdout
    listed = engine("quarantine", "list").stdout
    assert all(str(id) in listed for id in ids.values())
    shown = engine("quarantine", "show", ids["text id"]).stdout
    for part in ("queues", "text id", "count", "2", "cannot be claimed: too large"):
        assert part in shown
    assert "\x1b" not in listed + shown

    released = [engine("quarantine", "release", id) for id in ids.values()]
    assert [ran.returncode for ran in released] == [0, 0]
    assert "queues text id is tried again by the next sweep" in released[0].stdout
    assert world.db["quarantine"].count_documents({}) == 0


def test_an_entry_that_is_not_there_is_named(engine: CommandLine, world: World) -> None:
    unknown = ObjectId()

    for word in ("show", "release"):
        ran = engine("quarantine", word, unknown)
        assert (ran.returncode, ran.stderr) == (1, f"there is no {unknown} in quarantine\n")
