"""A file that is uploaded over HTTP to the production daemon becomes deals at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession, FormData

from pipeline_engine.clock import Clock
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.tokens import ServiceTokens
from tests.acceptance.conftest import Start
from tests.support.eventually import eventually
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World


@pytest.mark.covers("DI-03", "DI-25")
async def test_an_uploaded_file_becomes_deals(world: World, environment: dict[str, str], start: Start) -> None:
    port = free_ports(1)[0]
    daemon = await start(HTTP_ENABLED="true", HTTP_PORT=str(port), IMPORT_SWEEP_SECONDS="600")
    token = ServiceTokens(environment["APP_SECRET"], Clock()).mint(Identity(str(world.user), str(world.account)))
    url = f"http://127.0.0.1:{port}/api/v1/deals/import"
    form = FormData({"pipeline_id": str(world.pipeline), "mappings": json.dumps(SAMPLE_MAPPINGS), "tags": '["q4"]'})
    form.add_field("csv_file", SAMPLE.encode(), filename="deals.csv")
    found: dict[str, Any] = {}

    async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        async with session.post(url, data=form) as response:
            assert response.status == 202, await response.text()
            queue_id = (await response.json())["queue_id"]

        async def completed() -> bool:
            async with session.get(f"{url}/{queue_id}") as shown:
                found.update(await shown.json())
            return bool(found["status"] == "completed")

        await eventually(completed, "the import is completed", 20, daemon)

    assert (found["added"], found["errors"], found["progress"]) == (3, 0, 1.0)
    names = [deal["name"] for deal in world.db["deals"].find({"account_id": world.account}).sort("name")]
    assert names == ["Acme Corp Deal", "Global Inc Deal", "TechStart Deal"]
    assert daemon.said("import.uploaded")[0]["queue_id"] == queue_id
