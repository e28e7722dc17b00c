"""Where a lead is that entered a stage."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.repos.leads import _place

STAGE, PIPELINE = ObjectId("66c0" * 6), ObjectId("66c1" * 6)


@pytest.mark.parametrize("pipeline", [PIPELINE, str(PIPELINE)])
def test_a_lead_is_in_the_pipeline_of_its_entry(pipeline: object) -> None:
    place = _place({"_id": 1, "stage_id": STAGE, "pipeline_id": pipeline})
    assert place == {"stage_id": STAGE, "pipeline_id": pipeline}


@pytest.mark.parametrize("entry", [{}, {"pipeline_id": None}, {"pipeline_id": ["odd"]}])
def test_an_entry_without_a_pipeline_leaves_the_lead_in_its_own(entry: dict[str, object]) -> None:
    assert _place({"stage_id": STAGE, **entry}) == {"stage_id": STAGE}
