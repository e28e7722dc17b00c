"""Units of the sweeps whose jobs take the events of one account. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.unit import Unit
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import JobKind


def account_units(kind: JobKind[ObjectId], accounts: Iterable[Any]) -> list[Unit]:
    """A unit for each account, which may come as ObjectId and as text; what is neither has no unit."""
    return [Unit.of(kind, id, id) for id in dict.fromkeys(map(object_id, accounts)) if id]


def event_units(accounts: Sequence[Unit], events: Iterable[Mapping[str, Any]]) -> list[Unit]:
    """A unit for each event, which is what `run-once` counts; the first of each account brings the account's job."""
    jobs = {unit.id: unit.jobs for unit in accounts}
    named = [(str(one["_id"]), object_id(one.get("account_id"))) for one in events]
    return [Unit(id, str(account), jobs.pop(str(account), ())) for id, account in named if account]
