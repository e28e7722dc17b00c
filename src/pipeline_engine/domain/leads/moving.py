"""Takes leads to another stage: an entry there is inserted first, so that no crash loses a lead between two stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.leads.jobs import ENTER
from pipeline_engine.domain.leads.schedule import RESETS_MOVES, RunEnd
from pipeline_engine.domain.leads.work import Entry, Slice
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import derived_id


async def move(slice: Slice, going: Sequence[tuple[Entry, ObjectId]]) -> dict[Any, RunEnd]:
    """Let the leads enter the stages. Returns {entry id: how its run here ends}."""
    if not going:
        return {}
    targets = {stage_id for _, stage_id in going}
    refused = {stage_id: why for stage_id in targets if (why := await _refusal(slice, stage_id))}
    stages = await slice.app.repos.lead_pauses.stages(slice.account_id, list(targets))
    ends: dict[Any, RunEnd] = {}
    entering = []
    for entry, stage_id in going:
        moves = moves_after(entry)
        if stage_id in refused:
            ends[entry.id] = RunEnd("failed", refused[stage_id])
        elif moves > slice.app.settings.leads_moves_max:
            ends[entry.id] = RunEnd("failed", _circle(slice.app.settings.leads_moves_max))
        else:
            ends[entry.id] = RunEnd("left", f"moved to stage {stage_id}")
            pipeline = stages.get(str(stage_id), {}).get("pipeline_id") or entry.document.get("pipeline_id")
            entering.append(_entering(slice, entry, stage_id, pipeline, moves))
    if entering:
        await slice.app.repos.lead_stages.enter(entering)
        slice.wakes.add(ENTER)
    return ends


async def _refusal(slice: Slice, stage_id: ObjectId) -> str | None:
    try:
        await slice.app.shared.references.check("pipeline_stages", [stage_id], slice.account_id)
    except Permanent as error:
        return str(error)
    return None


def moves_after(entry: Entry) -> int:
    """How many moves in a row, this one included, the lead has made without standing still."""
    stood_still = any(row.get("type") in RESETS_MOVES for row in entry.rows if row["sequence_number"] <= entry.sequence)
    return 1 if stood_still else int(entry.document.get("moves") or 0) + 1


def _circle(most: int) -> str:
    return f"moved {most} times in a row without a wait: do the stages move leads in a circle?"


def _entering(slice: Slice, entry: Entry, stage_id: ObjectId, pipeline_id: Any, moves: int) -> dict[str, Any]:
    now = slice.app.clock.now()
    return {
        "_id": derived_id("lead_stage", entry.id, entry.document.get("repeats") or 0),
        "account_id": slice.account_id,
        "lead_id": entry.document["lead_id"],
        "pipeline_id": pipeline_id,
        "stage_id": stage_id,
        "status": "entering",
        "entered_at": now,
        "moves": moves,
        "moved_from": entry.id,
        "createdAt": now,
        "updatedAt": now,
    }
