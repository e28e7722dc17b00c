"""The repos of deal automations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pipeline_engine.repos.automation_deals import AutomationDeals
from pipeline_engine.repos.automation_logs import AUTOMATION_LOGS, AutomationLogs
from pipeline_engine.repos.automation_records import AutomationRecords
from pipeline_engine.repos.automation_units import AUTOMATION_UNITS, AutomationUnits
from pipeline_engine.repos.automations import AUTOMATIONS, Automations
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.deals import DEALS
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.import_chunks import IMPORT_CHUNKS
from pipeline_engine.repos.store import Store

AUTOMATION_COLLECTIONS: tuple[CollectionSpec, ...] = (
    AUTOMATIONS,
    AUTOMATION_LOGS,
    AUTOMATION_UNITS,
    DEALS,
    IMPORT_CHUNKS,  # a chunk that ends has new deals, so it wakes automations
)


@dataclass(frozen=True)
class AutomationRepos:
    """Automations, the deals that they act on, and the records of what they did."""

    automations: Automations
    automation_deals: AutomationDeals
    automation_logs: AutomationLogs
    automation_units: AutomationUnits
    automation_records: AutomationRecords
    derived: Callable[[str], DerivedDocuments]

    @classmethod
    def open(cls, store: Store) -> AutomationRepos:
        return cls(
            automations=Automations(store),
            automation_deals=AutomationDeals(store),
            automation_logs=AutomationLogs(store),
            automation_units=AutomationUnits(store),
            automation_records=AutomationRecords(store),
            derived=partial(DerivedDocuments, store),
        )
