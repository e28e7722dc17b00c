"""Keeps to pauses: leaves out what is paused, and makes up for pauses that have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline_engine import logs
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.leads.pauses import Pause, due_after, read_pause, spread
from pipeline_engine.domain.leads.work import Slice
from pipeline_engine.ids import either, object_id

Document = Mapping[str, Any]
BATCH = 500
FIELDS = {"stage": "stage_id", "pipeline": "pipeline_id"}

log = logs.get(__name__)


async def keep_to_pauses(slice: Slice) -> bool:
    """Read what is paused and leave it out of the slice; returns False when the whole account is paused."""
    now = slice.app.clock.now()
    held: dict[str, list[Any]] = {}
    for paused in await slice.app.repos.lead_pauses.of_account(slice.account_id):
        pause = read_pause(paused)
        if pause is None:
            continue
        if not pause.holds(now):
            await _make_up_for(slice, paused, pause, pause.until or now)
        elif paused["scope"] == "account":
            return False
        else:
            held.setdefault(FIELDS[paused["scope"]], []).extend([paused["_id"], str(paused["_id"])])
    slice.where = {field: {"$nin": ids} for field, ids in held.items()}
    return True


async def _make_up_for(slice: Slice, paused: Document, pause: Pause, resumed: datetime) -> None:
    """Change the due times of what the pause held back, then take the pause away."""
    pauses, account = slice.app.repos.lead_pauses, slice.account_id
    scope, id = str(paused["scope"]), paused["_id"]
    where = {} if scope == "account" else {FIELDS[scope]: either(object_id(id) or id)}
    changed = 0
    # The release is counted from now where the end of the pause was noticed late, so that it is spread all the same.
    now = max(resumed, slice.app.clock.now())
    while found := await pauses.not_made_up_for(account, where, pause.since, BATCH):
        await pauses.make_up_for(account, pause.since, _times(found, pause, resumed, now))
        changed += len(found)
    await pauses.set(account, scope, id, None, since=paused["automation_paused"].get("since"))
    log.info("leads.resumed", account_id=str(account), scope=scope, id=str(id), actions=changed)


def _times(
    entries: Sequence[Document], pause: Pause, resumed: datetime, now: datetime
) -> list[tuple[Document, datetime]]:
    times = []
    for entry in entries:
        due = usable_date(entry.get("perform_at")) or now
        begun = usable_date(entry.get("opened_at")) or pause.since
        later = due_after(pause, due, begun, resumed)
        times.append((entry, spread(later, now, entry["_id"]) if later <= now else later))
    return times
