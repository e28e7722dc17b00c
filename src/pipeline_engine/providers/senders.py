"""What carries mails, texts, requests to the CRM and webhooks out of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pipeline_engine.providers.crm_api import CrmApi
from pipeline_engine.providers.email import Mailer
from pipeline_engine.providers.from_settings import mailer_of, sms_of
from pipeline_engine.providers.sms import Sms
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.providers.webhooks import WebhookClient
from pipeline_engine.settings import Settings


@dataclass(frozen=True)
class Senders:
    """All but `webhooks` refuse their calls where the settings do not name their service."""

    mailer: Mailer
    sms: Sms
    crm_api: CrmApi
    webhooks: WebhookClient


@asynccontextmanager
async def open_senders(settings: Settings, tokens: ServiceTokens | None) -> AsyncIterator[Senders]:
    """What the settings name. Each connects when it is first called. Raises: ConfigError."""
    async with AsyncExitStack() as stack:
        yield Senders(
            mailer=await stack.enter_async_context(mailer_of(settings)),
            sms=await stack.enter_async_context(sms_of(settings)),
            crm_api=await stack.enter_async_context(CrmApi(settings.crm_api_url, tokens)),
            webhooks=await stack.enter_async_context(
                WebhookClient(settings.allow_private_hosts, settings.webhook_timeout)
            ),
        )
