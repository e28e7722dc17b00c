"""The import that a run holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.errors import LeaseLost
from pipeline_engine.repos.imports import Imports


class Hold:
    """The queue document as this run knows it. Every change is made only while it is still ours."""

    def __init__(self, imports: Imports, document: Mapping[str, Any]) -> None:
        self._imports = imports
        self.document = dict(document)

    async def change(self, **changes: Any) -> None:
        """Set fields; without any, just make sure. Raises: LeaseLost when somebody else took the import over."""
        changed = await self._imports.change(self.document, changes)
        if changed is None:
            raise LeaseLost(f"import {self.document['_id']} was taken over")
        self.document = changed

    async def release(self, **changes: Any) -> None:
        """Let go of it for whoever claims it next."""
        await self._imports.release(self.document, **changes)
