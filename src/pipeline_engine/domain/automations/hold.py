"""The automation that a run holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.errors import LeaseLost
from pipeline_engine.repos.automations import Automations


class Hold:
    """The automation as this run knows it. A change after the lease went to another run raises LeaseLost."""

    def __init__(self, automations: Automations, document: Mapping[str, Any]) -> None:
        """Raises: Permanent when the automation is malformed."""
        self._automations = automations
        self.document = document
        self.automation: Automation = read_automation(document)

    @property
    def run_id(self) -> str:
        return str(self.document["run"]["id"])

    async def refresh(self) -> None:
        """Read it again: somebody may have edited it, or switched it off. Raises: as the constructor."""
        self._keep(await self._automations.reread(self.document))

    async def change(self, **values: Any) -> None:
        """Set fields."""
        self._keep(await self._automations.change(self.document, values))

    async def release(self, **values: Any) -> None:
        """Let go of it, setting fields; with `run=None` the run has ended, else it goes on with the next slice."""
        if await self._automations.release(self.document, values) is None:
            raise self._stale()

    def _keep(self, document: Mapping[str, Any] | None) -> None:
        if document is None:
            raise self._stale()
        self.document = document
        self.automation = read_automation(document)

    def _stale(self) -> LeaseLost:
        return LeaseLost(f"automation {self.document['_id']} was taken over")
