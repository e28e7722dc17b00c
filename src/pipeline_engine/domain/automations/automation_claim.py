"""The claim of an automation."""

from __future__ import annotations

from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.claimed import Claim
from pipeline_engine.repos.automations import Automations
from pipeline_engine.repos.client import Document


class AutomationClaim(Claim[Automations]):
    """A claim that also parses its document. It sees an edit by the CRM after `refresh` or any change."""

    _read: tuple[Document, Automation] | None = None

    @property
    def automation(self) -> Automation:
        """The parsed document. Raises: Permanent when the automation is malformed."""
        if self._read is None or self._read[0] is not self.document:
            self._read = self.document, read_automation(self.document)
        return self._read[1]

    @property
    def run_id(self) -> str:
        """The id that this run's logs and events have."""
        return str(self.document["run"]["id"])

    async def refresh(self) -> None:
        """Read the document again, as the CRM may have edited it or switched it off. Raises: LeaseLost."""
        self.keep(await self.repo.reread(self.document))
