"""What an operator can do with a clone: find it, read its status, cancel it, make it due again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.funnel_repos import FunnelRepos

Status = Literal["waiting", "resting", "running", "cancelling", "completed", "failed", "cancelled", "not a clone"]


async def find_clone(app: App[FunnelRepos], funnel_id: ObjectId) -> Mapping[str, Any]:
    """The funnel that is a clone, or is to become one. Raises: Permanent `not_found` when there is none."""
    found = await app.repos.funnels.get(funnel_id)
    if found is None or not (found.get("original_funnel_id") or found.get("clone") or found.get("pending")):
        raise Permanent(f"there is no clone {funnel_id}", "not_found")
    return found


def status_of(funnel: Mapping[str, Any]) -> Status:
    """The state of a clone in one word. Pure. `resting`: a run failed and the next one is not due yet."""
    clone = funnel.get("clone") or {}
    if clone.get("cancel_requested"):
        return "cancelling"
    if funnel.get("in_progress"):
        return "running"
    if funnel.get("pending"):
        return "resting" if clone.get("next_at") else "waiting"
    if not clone.get("finished_at"):
        return "not a clone"
    if clone.get("error") == "cancelled":
        return "cancelled"
    return "failed" if clone.get("error") else "completed"


async def cancel_clone(app: App[FunnelRepos], funnel_id: ObjectId) -> None:
    """Request the end of a clone. The next run to claim the funnel stops its steps and removes what they have made.

    Raises: Permanent `not_found`; `ended` when the clone was completed or cancelled before.
    """
    if await app.repos.funnels.request_cancel(funnel_id):
        return
    await find_clone(app, funnel_id)
    raise Permanent(f"funnel {funnel_id} is not being cloned: there is nothing to cancel", "ended")


async def retry_clone(app: App[FunnelRepos], funnel_id: ObjectId) -> None:
    """Make a clone due now that failed, was cancelled, or rests between two runs.

    Steps that are done stay done. After a failure for good, the clone gets its whole number of runs again.
    Raises: Permanent `not_found`; `not_ended` when the clone is in none of these states.
    """
    if await app.repos.funnels.retry(funnel_id) is None:
        await find_clone(app, funnel_id)
        raise Permanent(f"funnel {funnel_id}: only a clone that failed or was cancelled is tried again", "not_ended")
