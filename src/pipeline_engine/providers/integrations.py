"""The services outside the CRM that scheduled jobs use, and the credentials for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pipeline_engine.clock import Clock
from pipeline_engine.providers.credentials import Credentials
from pipeline_engine.providers.enrichment import Enrichment
from pipeline_engine.providers.llm import Llm
from pipeline_engine.providers.mailboxes import Mailboxes
from pipeline_engine.providers.oauth import OAuth
from pipeline_engine.providers.sheets import Sheets
from pipeline_engine.settings import Settings


@dataclass(frozen=True)
class Integrations:
    """Each refuses its calls where the settings do not name its service."""

    credentials: Credentials
    oauth: OAuth
    enrichment: Enrichment
    sheets: Sheets
    llm: Llm
    mailboxes: Mailboxes


@asynccontextmanager
async def open_integrations(settings: Settings, clock: Clock) -> AsyncIterator[Integrations]:
    """What the settings name. Each connects when it is first called. Raises: ConfigError."""
    apollo_key = settings.apollo_api_key
    async with AsyncExitStack() as stack:
        yield Integrations(
            credentials=credentials_of(settings),
            oauth=await stack.enter_async_context(OAuth(settings.allow_private_hosts)),
            enrichment=await stack.enter_async_context(
                Enrichment(apollo_key.get_secret_value() if apollo_key else None, settings.apollo_base_url)
            ),
            sheets=await stack.enter_async_context(
                Sheets(settings.google_service_account_file, settings.google_sheets_base_url, clock)
            ),
            llm=await stack.enter_async_context(Llm.of(settings)),
            mailboxes=await stack.enter_async_context(Mailboxes.of(settings)),
        )


def credentials_of(settings: Settings) -> Credentials:
    """Seals and opens credentials with CREDENTIALS_KEYS; without keys they stay plain. Raises: ConfigError."""
    keys = settings.credentials_keys.get_secret_value() if settings.credentials_keys else ""
    return Credentials([key for part in keys.split(",") if (key := part.strip())])
