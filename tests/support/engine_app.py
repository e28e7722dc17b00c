"""The engine's connections with the repos of every system, as tests of several systems use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from pipeline_engine import workers
from pipeline_engine.app import App
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.funnel_repos import FunnelRepos
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.lead_repos import LeadRepos
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.webhook_repos import WebhookRepos
from pipeline_engine.settings import Settings


@dataclass(frozen=True)
class AllRepos(ImportRepos, AutomationRepos, FunnelRepos, LeadRepos, WebhookRepos):
    @classmethod
    def open(cls, store: Store) -> AllRepos:
        bundles = (
            ImportRepos.open(store),
            AutomationRepos.open(store),
            FunnelRepos.open(store),
            LeadRepos.open(store),
            WebhookRepos.open(store),
        )
        return cls(**{name: repo for bundle in bundles for name, repo in vars(bundle).items()})


EngineApp: TypeAlias = App[AllRepos]


@asynccontextmanager
async def open_app(settings: Settings, lane_prefix: str | None = None) -> AsyncIterator[EngineApp]:
    async with workers.open_app(settings, lane_prefix) as app:
        yield app.with_repos(AllRepos.open)
