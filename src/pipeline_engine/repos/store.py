"""What every repo is built from: the database, the lease of this process, the clock and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline_engine.clock import Clock
from pipeline_engine.repos.aside import Aside
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.lease import Lease
from pipeline_engine.settings import Settings

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


@dataclass(frozen=True)
class Store:
    """Each system's bundle of repos is opened from this."""

    database: AsyncIOMotorDatabase[Document]
    lease: Lease
    clock: Clock
    settings: Settings
    aside: Aside = field(default_factory=Aside)

    def collection(self, of: CollectionSpec | str) -> Collection:
        """The collection of a spec, or by name where the engine only reads."""
        if isinstance(of, str):
            return Collection(self.database[of])
        return Collection(self.database[of.name], own=of.own)
