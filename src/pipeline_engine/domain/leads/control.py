"""What an operator does to a lead's run: let it enter a stage, retry or skip its action, cancel it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.ending import end_runs
from pipeline_engine.domain.leads.schedule import Position, RunEnd, following, opened
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.lead_repos import LeadRepos
from pipeline_engine.repos.lead_stages import OPEN

Document = Mapping[str, Any]

CANCELLED = RunEnd("cancelled", "cancelled by an operator")


@dataclass(frozen=True)
class LeadRun:
    """A lead and its entries into stages, the newest first."""

    lead: Document
    entries: Sequence[Document]

    @property
    def account_id(self) -> ObjectId:
        """The lead's account."""
        return object_id(self.lead.get("account_id")) or self.lead["account_id"]

    @property
    def current(self) -> Document | None:
        """The entry whose run has not ended; when all have, the newest one; None when the lead never entered a
        stage."""
        underway = (one for one in self.entries if one.get("status") in OPEN)
        return next(underway, next(iter(self.entries), None))


async def look_up(app: App[LeadRepos], lead_id: ObjectId) -> LeadRun:
    """Raises: Permanent `not_found`."""
    lead = await app.repos.lead_records.one("leads", lead_id)
    if lead is None:
        raise Permanent(f"there is no lead {lead_id}", "not_found")
    return LeadRun(lead, await app.repos.lead_records.entries(lead.get("account_id"), lead["_id"]))


async def enter(app: App[LeadRepos], lead_id: ObjectId, stage_id: ObjectId) -> ObjectId:
    """Have the lead enter the stage, as the CRM does. Returns the id of its new entry.

    Raises: Permanent `not_found`, `foreign_reference` when the stage is another account's, `ended` when the lead was
    won or lost.
    """
    lead = (await look_up(app, lead_id)).lead
    stage = await app.repos.lead_records.one("pipeline_stages", stage_id)
    if stage is None:
        raise Permanent(f"there is no stage {stage_id}", "not_found")
    if str(stage.get("account_id")) != str(lead.get("account_id")):
        raise Permanent(f"stage {stage_id} is another account's than lead {lead_id}", "foreign_reference")
    if lead.get("status", "open") != "open":
        raise Permanent(f"lead {lead_id} is {lead['status']}: only an open lead enters a stage", "ended")
    entry = _entry(lead, stage, app.clock.now())
    await app.repos.lead_stages.enter([entry])
    return ObjectId(entry["_id"])


def _entry(lead: Document, stage: Document, now: datetime) -> dict[str, Any]:
    places = {"account_id": lead["account_id"], "lead_id": lead["_id"], "stage_id": stage["_id"]}
    times = {"entered_at": now, "createdAt": now, "updatedAt": now}
    return {"_id": ObjectId(), **places, "pipeline_id": stage.get("pipeline_id"), "status": "entering", **times}


async def retry(app: App[LeadRepos], lead_id: ObjectId) -> Position:
    """Perform the action at which the lead's run failed once more, with all its attempts. Returns where it goes on.

    A message that may have gone out is sent again: the operator's request makes it another one.
    Raises: Permanent `not_found`, or `not_failed` when the lead's newest run has not failed.
    """
    run = await look_up(app, lead_id)
    entry = _newest(run, ("failed",), "only a run that failed is retried")
    rows = await app.repos.lead_records.rows(run.lead.get("account_id"), entry["_id"])
    row = next((one for one in rows if one["sequence_number"] == entry.get("current_sequence")), None)
    if row is None:
        raise Permanent(f"lead {lead_id}: it failed before its first action; `leads enter` begins anew", "not_failed")
    position = await _opened(app, run, row)
    # The number is part of the key of what is sent, so that the record of the failed send does not stand for this one.
    await _go_on(app, run, entry, position, {"repeats": int(entry.get("repeats") or 0) + 1})
    return position


async def skip(app: App[LeadRepos], lead_id: ObjectId) -> Position | RunEnd:
    """Leave out the action at which the lead's run is, failed or waiting. Returns where the run goes on, or its end.

    Raises: Permanent `not_found`; `ended` when there is nothing to skip; `busy` while the action is being performed.
    """
    run = await look_up(app, lead_id)
    entry = _newest(run, ("active", "failed"), "there is no action to skip")
    rows = await app.repos.lead_records.rows(run.lead.get("account_id"), entry["_id"])
    row = following(rows, entry.get("current_sequence") or 0)
    target = await _opened(app, run, row) if row else RunEnd("completed")
    await _go_on(app, run, entry, target, {}, left_out={"status": "skipped", "last_error": None})
    return target


async def cancel(app: App[LeadRepos], lead_id: ObjectId) -> None:
    """RunEnd the lead's run where it is, also while an action is being performed; what is scheduled is cancelled.

    Raises: Permanent `not_found`, or `ended` when no run of the lead is under way.
    """
    run = await look_up(app, lead_id)
    entry = _newest(run, OPEN, "there is no run to cancel")
    if not await end_runs(app, run.account_id, [entry["_id"]], CANCELLED):
        raise Permanent(f"lead {lead_id}: its run has just ended", "ended")


def _newest(run: LeadRun, wanted: Sequence[str], otherwise: str) -> Document:
    """The lead's current entry if its status is one of those wanted. Raises: Permanent `ended`."""
    entry, lead_id = run.current, run.lead["_id"]
    if entry is None:
        raise Permanent(f"lead {lead_id} never entered a stage: {otherwise}", "ended")
    if entry.get("status") not in wanted:
        raise Permanent(f"lead {lead_id}: its run is {entry.get('status')}: {otherwise}", "ended")
    return entry


def opened_fields(position: Position, now: datetime) -> dict[str, Any]:
    """The fields of a lead stage whose run goes on at this position from now on, as if it had just come there. Pure."""
    fresh = {"opened_at": now, "started_at": None, "reason": None, "left_at": None, "crashes": 0}
    waits = {"response_since": now} if position.current_status == "waiting_response" else {}
    return {**position.document(), **fresh, **waits}


async def _opened(app: App[LeadRepos], run: LeadRun, row: Document) -> Position:
    account = await app.shared.accounts.get(run.account_id)
    return opened(row, app.clock.now(), run.lead, account)


async def _go_on(
    app: App[LeadRepos],
    run: LeadRun,
    entry: Document,
    target: Position | RunEnd,
    values: Mapping[str, Any],
    left_out: Mapping[str, Any] | None = None,
) -> None:
    """Move the run to the target in one guarded write; then have the rows of its actions follow.

    Raises: Permanent `busy` when a daemon performs the action, or the run has moved on meanwhile."""
    repos, account_id, id = app.repos, run.account_id, entry["_id"]
    now, sequence = app.clock.now(), entry.get("current_sequence")
    fields = (
        target.document(now) if isinstance(target, RunEnd) else {**target.document(), "reason": None, "left_at": None}
    )
    was = {"_id": id, "status": entry["status"], "current_sequence": sequence, **repos.lead_stages.unclaimed}
    held = await repos.lead_stages.seize(account_id, was, {**fields, **values})
    if not held:
        raise Permanent(f"lead {run.lead['_id']}: its action is being performed at the moment; try again", "busy")
    if left_out and sequence is not None:
        await repos.lead_stage_actions.change(account_id, [id], sequence, {**left_out, "performed_at": now})
    if isinstance(target, Position):
        await _open_rows(app, account_id, id, target)
    await repos.lead_stages.release_many(account_id, held[0]["claim_id"], [id])


async def _open_rows(app: App[LeadRepos], account_id: ObjectId, id: Any, position: Position) -> None:
    """The row at the position stands as that says; those behind it, which a failed run has cancelled, wait again."""
    actions = app.repos.lead_stage_actions
    await actions.change(account_id, [id], position.sequence, {**position.row(), "performed_at": None})
    for row in (await actions.of_many(account_id, [id]))[id]:
        if row["sequence_number"] > position.sequence:
            await actions.change(account_id, [id], row["sequence_number"], {"status": "waiting"})
