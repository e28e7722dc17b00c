"""The repos of deal import."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.automations import Automations
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.csv_imports import CSV_IMPORTS, CsvImports
from pipeline_engine.repos.custom_fields import CustomFields
from pipeline_engine.repos.deals import DEALS, Deals
from pipeline_engine.repos.import_chunks import IMPORT_CHUNKS, ImportChunks
from pipeline_engine.repos.imports import QUEUES, Imports
from pipeline_engine.repos.stages import PIPELINE_STAGES, Stages
from pipeline_engine.repos.store import Store

IMPORT_COLLECTIONS: tuple[CollectionSpec, ...] = (QUEUES, IMPORT_CHUNKS, CSV_IMPORTS, PIPELINE_STAGES, DEALS)


@dataclass(frozen=True)
class ImportRepos:
    """Queue documents, their chunks and reports, and what an import writes for the CRM."""

    imports: Imports
    chunks: ImportChunks
    csv_imports: CsvImports
    stages: Stages
    deals: Deals
    custom_fields: CustomFields
    automations: Automations
    """Only read, to say what an import would set off."""

    @classmethod
    def open(cls, store: Store) -> ImportRepos:
        return cls(
            imports=Imports(store),
            chunks=ImportChunks(store),
            csv_imports=CsvImports(store),
            stages=Stages(store),
            deals=Deals(store),
            custom_fields=CustomFields(store),
            automations=Automations(store),
        )
