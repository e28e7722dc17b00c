"""Indexes are never in the way of what the CRM writes itself."""

from __future__ import annotations

import pytest

from pipeline_engine import settings, workers

INDEXES = {spec.name: spec.indexes for spec in workers.collections(settings.load(_env_file=None))}
CRM_WRITES = (
    "queues", "deals", "pipeline_stages", "csv_imports", "crm_events",
    "funnels", "funnel.step", "funnel.step.components", "sites_images", "forms", "support_tokens", "users",
)  # fmt: skip


@pytest.mark.parametrize("collection", CRM_WRITES)
def test_on_collections_of_the_crm_unique_and_ttl_indexes_are_partial(collection: str) -> None:
    for model in INDEXES.get(collection, ()):
        options = model.document
        if options.get("unique") or "expireAfterSeconds" in options:
            assert "partialFilterExpression" in options, options["name"]
