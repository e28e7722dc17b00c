"""The heartbeat does not miss a beat because of what the runs do meanwhile."""

from __future__ import annotations

import asyncio
import json

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.repos.import_chunks import IMPORT_CHUNKS
from pipeline_engine.repos.imports import QUEUES
from tests.support.engine_app import open_app


@pytest.mark.covers("R-02")
async def test_a_run_that_begins_in_mid_beat_does_not_break_it(environment: dict[str, str]) -> None:
    slow = json.dumps({"failpoint": "mongo.queues.renew", "do": "delay", "seconds": 0.2})
    configured = settings.from_environment({**environment, "FAULT_TESTING": "1", "FAULT_PLAN": slow})
    async with open_app(configured) as app:
        with app.heartbeat.holding(QUEUES, ObjectId()):
            beat = asyncio.create_task(app.heartbeat.beat())
            await asyncio.sleep(0)  # now it is on its way
            with app.heartbeat.holding(IMPORT_CHUNKS, "one"):
                await beat
    assert beat.exception() is None
