"""Why a lead stands where it stands: every condition with its value, what happens next, and what happened before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.explanation import Condition, Next, next_of, of_window, step_detail
from pipeline_engine.domain.leads.conditions import (
    Surroundings,
    behind,
    name_of,
    of_action,
    of_entering,
    of_exits,
    of_lead,
    of_pauses,
)
from pipeline_engine.domain.leads.control import LeadRun, look_up
from pipeline_engine.domain.leads.limits import limit_for
from pipeline_engine.ids import object_id
from pipeline_engine.logs import clean
from pipeline_engine.repos.lead_repos import LeadRepos

Document = Mapping[str, Any]


@dataclass(frozen=True)
class LeadEvent:
    """One thing that was recorded of the lead's current entry, or of one before it."""

    at: datetime
    source: str
    """entry, action, effect or reply"""
    state: str
    detail: str = ""


@dataclass(frozen=True)
class LeadExplanation:
    """`history` is in the order of time; `ahead` are the actions behind the current one."""

    lead: ObjectId
    stage: object
    status: str
    action: str | None
    conditions: Sequence[Condition]
    history: Sequence[LeadEvent]
    ahead: Sequence[str]
    next: Next


async def explain(app: App[LeadRepos], lead_id: ObjectId) -> LeadExplanation:
    """Raises: Permanent `not_found`."""
    run = await look_up(app, lead_id)
    entry, now = run.current, app.clock.now()
    around = await _surroundings(app, run)
    conditions = of_lead(entry, around)
    if entry is None:
        nothing = Next("never", None, "it never entered a stage")
        return LeadExplanation(lead_id, None, "none", None, conditions, (), (), next_of(conditions, nothing))
    records = app.repos.lead_records
    rows = await records.rows(run.lead.get("account_id"), entry["_id"])
    row = next((one for one in rows if one["sequence_number"] == entry.get("current_sequence")), None)
    conditions += await _of_state(app, run, entry, row, around)
    effects, responses = await _sent_and_received(app, run, entry)
    conditions += of_window(effects)
    status = str(entry.get("status"))
    due = Next("runs", now, f"at the next look, within {app.settings.leads_sweep_seconds:g} s")
    return LeadExplanation(
        lead=lead_id,
        stage=entry.get("stage_id"),
        status=status,
        action=name_of(row) if row else None,
        conditions=conditions,
        history=history_of(run.entries, rows, effects, responses),
        ahead=behind(rows, entry.get("current_sequence")) if status == "active" else [],
        next=next_of(conditions, due),
    )


async def _surroundings(app: App[LeadRepos], run: LeadRun) -> Surroundings:
    entry, records = run.current or {}, app.repos.lead_records
    ids = (object_id(entry.get("stage_id")), object_id(entry.get("pipeline_id")))
    stage, pipeline = [
        await records.one(name, id) if id else None
        for name, id in zip(("pipeline_stages", "pipelines"), ids, strict=True)
    ]
    most, account = app.settings.leads_active_max, await app.shared.accounts.get(run.account_id)
    return Surroundings(
        lead=run.lead,
        stage=stage,
        pipeline=pipeline,
        account=account,
        account_active=await app.shared.references.account_is_active(run.account_id),
        active_leads=await app.repos.lead_stages.count_active(run.account_id, most),
        max_active=most,
        limit=limit_for(app.settings, account, str(entry.get("current_type"))),
    )


async def _of_state(
    app: App[LeadRepos], run: LeadRun, entry: Document, row: Document | None, around: Surroundings
) -> list[Condition]:
    """The conditions of an entry that waits to be let in, or of the action at which it is; none when it has ended."""
    now = app.clock.now()
    if entry.get("status") == "entering":
        before = {"status": "entering", "_id": {"$lt": entry["_id"]}}
        ahead = await app.repos.lead_records.count("lead_stages", run.account_id, before)
        return [*of_pauses(around, now), *of_entering(around, ahead)]
    if entry.get("status") == "active":
        return [*of_pauses(around, now), *of_action(entry, row, around, now), *of_exits(around.stage)]
    return []


async def _sent_and_received(app: App[LeadRepos], run: LeadRun, entry: Document) -> tuple[list[Any], list[Any]]:
    since = usable_date(entry.get("entered_at")) or entry["_id"].generation_time
    records, account_id = app.repos.lead_records, run.lead.get("account_id")
    effects = await records.effects(account_id, entry["_id"])
    return effects, await records.responses(account_id, run.lead["_id"], since)


def history_of(
    entries: Iterable[Document], rows: Iterable[Document], effects: Iterable[Document], responses: Iterable[Document]
) -> list[LeadEvent]:
    """What these documents record, in the order of time. Pure."""
    found = [event for entry in entries for event in _of_entry(entry)]
    found += [event for row in rows for event in _of_row(row)]
    found += [event for effect in effects for event in _of_effect(effect)]
    found += [event for response in responses for event in _of_response(response)]
    return sorted(found, key=lambda one: one.at)


def _of_entry(entry: Document) -> Iterator[LeadEvent]:
    if entered := usable_date(entry.get("entered_at")):
        yield LeadEvent(entered, "entry", "entered", f"stage {entry.get('stage_id')}")
    if left := usable_date(entry.get("left_at")):
        yield LeadEvent(left, "entry", str(entry.get("status")), clean(str(entry.get("reason") or "")))


def _of_row(row: Document) -> Iterator[LeadEvent]:
    if at := usable_date(row.get("performed_at")):
        error = f": {clean(str(row['last_error']))}" if row.get("last_error") else ""
        yield LeadEvent(at, "action", str(row.get("status")), f"{name_of(row)}{error}")


def _of_effect(effect: Document) -> Iterator[LeadEvent]:
    """One event per step of the record; the last one says whether the message may have gone out twice."""
    steps = effect.get("history") or []
    doubt = ", may have gone out twice" if effect.get("ambiguous") else ""
    for n, step in enumerate(steps, 1):
        yield LeadEvent(
            step["at"], "effect", step["state"], f"{step_detail(effect, step)}{doubt if n == len(steps) else ''}"
        )


def _of_response(response: Document) -> Iterator[LeadEvent]:
    if at := usable_date(response.get("received_at")):
        kind = "automatic" if response.get("auto") is True else "reply"
        yield LeadEvent(at, "reply", kind, str(response.get("channel")))
