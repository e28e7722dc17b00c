"""Lets leads enter stages: copies the stage's actions, closes the entry that the lead had, and opens the first
action."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.batch_faults import apart, crashed_too_often, setting_faults_aside
from pipeline_engine.domain.leads.ending import CLOSED, close_rows, ends_run
from pipeline_engine.domain.leads.jobs import ACTING
from pipeline_engine.domain.leads.repair import close_at_end
from pipeline_engine.domain.leads.schedule import Position, RunEnd, opened
from pipeline_engine.domain.leads.work import Slice
from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.lead_stage_actions import row_id
from pipeline_engine.repos.lead_stages import LEAD_STAGES, OPEN

Document = Mapping[str, Any]

MAX_NUMBER = 10**9
"""A larger sequence number is a typing error."""


async def let_in(slice: Slice, claimed: Sequence[Document]) -> None:
    """Let the leads of these claimed entries into their stages; each step can be repeated after a crash."""
    stages = slice.app.repos.lead_stages
    with ExitStack() as held:
        for entry in claimed:
            held.enter_context(slice.app.heartbeat.holding(LEAD_STAGES, entry["_id"]))
        worked = await apart(stages, slice.account_id, claimed)
        async with setting_faults_aside(stages, slice.account_id, worked, "lead"):
            newest = {str(entry["lead_id"]): entry for entry in await _readable(slice, worked)}
            entering = list(newest.values())
            if entering:
                await _close_others(slice, entering)
                await _let_in(slice, entering)


async def _readable(slice: Slice, entries: Sequence[Document]) -> list[Document]:
    """The claimed entries, without those that cannot be let in, which are ended."""
    faults = {one["_id"]: fault for one in entries if (fault := _fault(one))}
    for one in entries:
        if one["_id"] in faults:
            await _store(slice, RunEnd("failed", faults[one["_id"]]), [one], slice.app.clock.now())
    return [one for one in entries if one["_id"] not in faults]


def _fault(entry: Document) -> str | None:
    if None in (object_id(entry.get("lead_id")), object_id(entry.get("stage_id"))):
        return "lead_id and stage_id must be ids"
    return crashed_too_often(entry)


async def _close_others(slice: Slice, entering: Sequence[Document]) -> None:
    """Close the open entries that these leads have had until now: `cancelled` in the same stage, `left` in another."""
    stages = slice.app.repos.lead_stages
    leads = [form for entry in entering for form in either(ObjectId(entry["lead_id"]))["$in"]]
    fields = ("lead_id", "stage_id", "status", "entered_at", "moves", "current_sequence")
    found = await stages.find_open(slice.account_id, leads, *fields)
    by_lead = {str(entry["lead_id"]): entry for entry in entering}
    ends: dict[RunEnd, list[Any]] = defaultdict(list)
    for one in found:
        entry = by_lead[str(one["lead_id"])]
        if one["_id"] != entry["_id"] and _is_before(one, entry):
            ends[_end(one, entry)].append(one["_id"])
    for end, ids in ends.items():
        query = {"_id": {"$in": ids}, "status": {"$in": list(OPEN)}}
        seized = await stages.seize(slice.account_id, query, end.document(slice.app.clock.now()))
        for one in seized:
            if by_lead[str(one["lead_id"])].get("moved_from") == one["_id"]:
                await close_at_end(slice, one)  # the process that performed the move died before it said so
        await close_rows(slice.app, slice.account_id, seized)


def _is_before(one: Document, entry: Document) -> bool:
    """Whether an open entry is older than the one that is let in: an entry that still waits may be a newer one."""
    return one["status"] == "active" or _order(one) < _order(entry)


def _order(entry: Document) -> tuple[float, str]:
    entered = usable_date(entry.get("entered_at"))
    return entered.timestamp() if entered else 0.0, str(entry["_id"])


def _end(one: Document, entry: Document) -> RunEnd:
    if entry.get("moved_from") == one["_id"]:
        return RunEnd("left", f"moved to stage {entry['stage_id']}")
    if str(one.get("stage_id")) == str(entry["stage_id"]):
        return RunEnd("cancelled", "the lead entered this stage again")
    return RunEnd("left", f"the lead entered stage {entry['stage_id']}")


async def _let_in(slice: Slice, entering: Sequence[Document]) -> None:
    repos, account, now = slice.app.repos, slice.account_id, slice.app.clock.now()
    if crashed := [entry["_id"] for entry in entering if entry.get("crashes")]:
        await repos.lead_stage_actions.delete(account, crashed)  # the stage may have been edited since
    actions = await repos.lead_stage_actions.of_stages(account, list({str(one["stage_id"]) for one in entering}))
    leads = await repos.leads.brief(account, [entry["lead_id"] for entry in entering])
    closed = await _closed(slice, entering, leads)
    targets: dict[Position | RunEnd, list[Document]] = defaultdict(list)
    rows: list[dict[str, Any]] = []
    for entry in entering:
        own = rows_of(entry, numbered(actions.get(str(entry["stage_id"]), [])), now)
        lead = leads.get(str(entry["lead_id"]))
        target = (closed.get(entry["_id"]) if own else None) or _target(slice, own, lead, now)
        if isinstance(target, Position):
            own[0] |= target.row()
            rows += own
        targets[target].append(entry)
    await repos.lead_stage_actions.insert(rows)
    known = [(lead["_id"], one) for one in entering if (lead := leads.get(str(one["lead_id"])))]
    await repos.leads.set_stage(account, known)
    for target, entries in targets.items():
        await _store(slice, target, entries, now)


async def _closed(slice: Slice, entering: Sequence[Document], leads: Mapping[str, Document]) -> dict[Any, RunEnd]:
    """{entry: how its run ends before it begins}: of leads that are won or lost, as the exits of their stage say."""
    found = [(one, leads.get(str(one["lead_id"]), {}).get("status")) for one in entering]
    closed = [(one, str(status)) for one, status in found if status in CLOSED]
    ids = [one["stage_id"] for one, _ in closed]
    stages = await slice.app.repos.lead_pauses.stages(slice.account_id, ids) if ids else {}
    return {
        one["_id"]: RunEnd("cancelled", status)
        for one, status in closed
        if ends_run(stages.get(str(one["stage_id"]), {}), status)
    }


def _target(slice: Slice, rows: Sequence[Document], lead: Document | None, now: datetime) -> Position | RunEnd:
    if lead is None:
        return RunEnd("failed", "the lead does not exist")
    return opened(rows[0], now, lead, slice.account) if rows else RunEnd("completed", "the stage has no active actions")


def numbered(actions: Sequence[Document]) -> list[dict[str, Any]]:
    """What a row keeps of each action. Numbers that repeat, or are none, are made to grow: each names one. Pure."""
    found: list[dict[str, Any]] = []
    for action in actions:
        least = found[-1]["sequence_number"] + 1 if found else -MAX_NUMBER
        given = _whole(action.get("sequence_number"))
        sequence = given if given is not None and given >= least else max(least, 1)
        pinned = {name: action.get(name) for name in ("type", "config", "created_by")}
        found.append({**pinned, "sequence_number": sequence, "action_id": action["_id"]})
    return found


def rows_of(entry: Document, actions: Sequence[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Rows for these actions, as `numbered` returns them, none of which has begun."""
    own = {**{name: entry[name] for name in ("account_id", "lead_id", "stage_id")}, "lead_stage_id": entry["_id"]}
    state = {"status": "waiting", "attempts": 0, "createdAt": now, "updatedAt": now}
    return [{"_id": row_id(entry["_id"], one["sequence_number"]), **own, **one, **state} for one in actions]


def _whole(given: object) -> int | None:
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= MAX_NUMBER
    return int(given) if is_number else None  # type: ignore[call-overload]


async def _store(slice: Slice, target: Position | RunEnd, entries: Sequence[Document], now: datetime) -> None:
    stages, ids = slice.app.repos.lead_stages, [entry["_id"] for entry in entries]
    claim_id = entries[0]["claim_id"]
    # Rows and leads are written before, so this one write both stores and releases.
    if isinstance(target, RunEnd):
        await stages.release_many(slice.account_id, claim_id, ids, target.document(now))
    else:
        values = {**target.document(), "opened_at": now, "started_at": None, "response_since": now}
        await stages.release_many(slice.account_id, claim_id, ids, values)
        if target.current_status == "waiting_response":
            leads = [entry["lead_id"] for entry in entries]
            await slice.app.repos.lead_responses.reopen(slice.account_id, leads, now)
        slice.wakes.add(ACTING[target.lane])
