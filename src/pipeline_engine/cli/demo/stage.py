"""What every step of the demo has at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_engine.cli.demo.sample_crm import SampleCrm
from pipeline_engine.cli.screen import Screen
from pipeline_engine.repos.indexes import create_indexes
from pipeline_engine.settings import Settings
from pipeline_engine.workers import open_app

Facts = Sequence[tuple[str, object]]
"""What a step tells in the summary, as names and values."""


@dataclass(frozen=True)
class Stage:
    settings: Settings
    screen: Screen
    crm: SampleCrm
    socket_sink: str
    smtp_sink: str
    """Where to read what came in by socket and by mail."""

    async def set_up(self) -> None:
        async with open_app(self.settings) as app:
            await create_indexes(app.database, app.collections)
            await self.crm.insert(app.database)
