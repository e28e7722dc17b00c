"""The client of webhooks, with private hosts allowed unless a test says otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipeline_engine.providers.webhooks import Reply, WebhookClient

BODY = b'{"type":"contact.created"}'


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[WebhookClient]:
    async with WebhookClient(**{"allow_private": True, "timeout": 5.0, **options}) as client:
        yield client


async def posted(url: object, **options: Any) -> Reply:
    async with opened(**options) as client:
        return await client.post(url, {"webhook-id": "msg_1"}, BODY)
