"""The job that runs a slice of an automation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import NewJob

RUN = "automation.run"


def lane_of(document: Mapping[str, Any]) -> str:
    return f"deals.automations.{document['type']}"


def run_of(document: Mapping[str, Any]) -> NewJob:
    """Under the automation's own id: while it waits or runs in its lane, another one is none."""
    id = str(document["_id"])
    return NewJob(RUN, (id,), id=id)


def unit_of(document: Mapping[str, Any]) -> Unit:
    return Unit(str(document["_id"]), str(document.get("account_id")), lane_of(document), run_of(document))
