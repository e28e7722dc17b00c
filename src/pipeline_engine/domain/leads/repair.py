"""Repairs rows that a crash left behind the truth in `lead_stages`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine.domain.leads.work import Entry, Slice
from pipeline_engine.repos.lead_stage_actions import OPEN_ROWS

LAST_ROW = {"failed": "failed", "cancelled": "cancelled"}
"""By state of the run: that of the action at which it ended; `done` for the other states."""


async def follow_truth(slice: Slice, entries: Sequence[Entry]) -> None:
    """Let the rows of claimed entries say what the entries say, where they do not."""
    behind: dict[tuple[int, Any], list[Entry]] = defaultdict(list)
    for entry in entries:
        if _is_behind(entry):
            behind[entry.sequence, entry.document.get("opened_at")].append(entry)
    rows, account = slice.app.repos.lead_stage_actions, slice.account_id
    for (sequence, opened_at), some in behind.items():
        done = {"status": "done", "performed_at": opened_at}  # an action was opened when the one before had ended
        await rows.change_open(account, [one.id for one in some], done, before=sequence)
        for entry in some:
            shown = [row.get("status") for row in entry.rows if row["sequence_number"] == sequence]
            await rows.change(account, [entry.id], sequence, entry.position.row(), shown)


def _is_behind(entry: Entry) -> bool:
    current = entry.document.get("current_sequence")
    if current is None or entry.document.get("perform_at") is None:
        return False
    shown = {row["sequence_number"]: row.get("status") for row in entry.rows}
    before = any(status in OPEN_ROWS for sequence, status in shown.items() if sequence < current)
    return before or (current in shown and shown[current] != entry.position.current_status)


async def close_ended(slice: Slice, limit: int) -> int:
    """Close the rows of runs that ended though their holder died before it could say so there. Returns how many."""
    repos, account = slice.app.repos, slice.account_id
    ended = await repos.lead_stages.claim_abandoned(account, limit)
    for entry in ended:
        await close_at_end(slice, entry)
    if ended:
        await repos.lead_stages.release_many(account, ended[0]["claim_id"], [one["_id"] for one in ended])
    return len(ended)


async def close_at_end(slice: Slice, entry: Mapping[str, Any]) -> None:
    """Let the rows of a run that ended by the action at which it stands say so."""
    rows, account = slice.app.repos.lead_stage_actions, slice.account_id
    if (current := entry.get("current_sequence")) is not None:
        last, at = LAST_ROW.get(entry["status"], "done"), {"performed_at": entry.get("left_at")}
        await rows.change_open(account, [entry["_id"]], {"status": "done", **at}, before=current)
        await rows.change_open(account, [entry["_id"]], {"status": last, **at}, before=current + 1)
    await rows.change_open(account, [entry["_id"]], {"status": "cancelled"})
