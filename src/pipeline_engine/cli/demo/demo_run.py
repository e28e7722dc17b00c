"""What every part of the demo works with: settings, screen, sample data and sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_engine.cli.demo.sample_crm import SampleCrm
from pipeline_engine.cli.screen import Screen
from pipeline_engine.repos.indexes import create_indexes
from pipeline_engine.settings import Settings
from pipeline_engine.workers import open_app

Facts = Sequence[tuple[str, object]]
"""The lines of one part in the summary, as names and values."""


@dataclass(frozen=True)
class DemoRun:
    """One run of the demo."""

    settings: Settings
    screen: Screen
    crm: SampleCrm
    socket_sink: str
    smtp_sink: str
    """URLs at which the sinks list the socket events and mails that they received."""
    mailbox: str
    """Its URL, with user and password."""

    async def set_up(self) -> None:
        """Create the indexes and insert the sample account."""
        async with open_app(self.settings) as app:
            await create_indexes(app.database, app.collections)
            await self.crm.insert(app.database)
