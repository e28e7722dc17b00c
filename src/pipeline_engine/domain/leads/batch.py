"""Works off a batch of claimed entries: action after action, for as long as the next one can be performed at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from typing import Any

from pipeline_engine import logs
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.batch_faults import apart, crashed_too_often, setting_faults_aside
from pipeline_engine.domain.leads.actions.table import ACTIONS
from pipeline_engine.domain.leads.config import read_config
from pipeline_engine.domain.leads.limits import within
from pipeline_engine.domain.leads.repair import follow_truth
from pipeline_engine.domain.leads.send_to_leads import retried
from pipeline_engine.domain.leads.settle import settle
from pipeline_engine.domain.leads.work import Document, Entry, Result, Results, Slice, Stay, failed
from pipeline_engine.errors import LeaseLost, Permanent, RateLimited
from pipeline_engine.ids import object_id
from pipeline_engine.lanes.classify_error import brief, expected, where
from pipeline_engine.repos.client import is_away
from pipeline_engine.repos.lead_stages import LEAD_STAGES

log = logs.get(__name__)


async def work_off(slice: Slice, claimed: Sequence[Document]) -> None:
    """Perform the actions at which these entries stand, and those that follow at once; release them all.

    Raises: LeaseLost when the lease may have run out; what pymongo raises when MongoDB is away.
    """
    stages = slice.app.repos.lead_stages
    with ExitStack() as held:
        for document in claimed:
            held.enter_context(slice.app.heartbeat.holding(LEAD_STAGES, document["_id"]))
        worked = await apart(stages, slice.account_id, claimed)
        async with setting_faults_aside(stages, slice.account_id, worked, "lead"):
            entries = await _load(slice, worked)
            while entries:
                if not slice.app.heartbeat.trusted:
                    raise LeaseLost("the lease may have run out")
                entries = await _step(slice, entries)


async def _load(slice: Slice, claimed: Sequence[Document]) -> list[Entry]:
    """The entries with rows and leads. Those that cannot be worked off are ended."""
    repos, account = slice.app.repos, slice.account_id
    rows = await repos.lead_stage_actions.of_many(account, [one["_id"] for one in claimed])
    leads = await repos.leads.brief(account, [id for one in claimed if (id := object_id(one.get("lead_id")))])
    now = slice.app.clock.now()
    dated = [{**one, "perform_at": usable_date(one.get("perform_at")) or now} for one in claimed]
    entries = [Entry(one, rows[one["_id"]], leads.get(str(one.get("lead_id")), {})) for one in dated]
    await follow_truth(slice, entries)
    _measure(slice, entries)
    faults = {entry.id: fault for entry in entries if (fault := _fault(entry))}
    await settle(slice, [(entry, failed(faults[entry.id])) for entry in entries if entry.id in faults])
    return [entry for entry in entries if entry.id not in faults]


def _fault(entry: Entry) -> str | None:
    if not entry.lead:
        return "the lead does not exist"
    if not any(row["sequence_number"] == entry.document.get("current_sequence") for row in entry.rows):
        return "the row of its action does not exist"
    return crashed_too_often(entry.document)


def _measure(slice: Slice, entries: Sequence[Entry]) -> None:
    """Warn about actions that start later after they were due than the service level says."""
    lags = [_lag(entry) for entry in entries]
    late = [lag for lag in lags if lag > slice.app.settings.leads_sla_seconds]
    if late:
        facts = {"account_id": str(slice.account_id), "lane": slice.lane, "longest": round(max(late))}
        log.warning("lead.actions_late", **facts, actions=len(late))


def _lag(entry: Entry) -> float:
    started, due = entry.document.get("started_at"), entry.document.get("perform_at")
    return (started - due).total_seconds() if started and due and not entry.document.get("attempts") else 0.0


async def _step(slice: Slice, entries: Sequence[Entry]) -> list[Entry]:
    """Perform the current action of each. Returns those whose next action can be performed at once."""
    groups: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.sequence, str(entry.row.get("type")), str(entry.row.get("config"))].append(entry)
    going: list[Entry] = []
    for group in groups.values():
        async for results in _act(slice, group):
            going += await settle(slice, results)
    return going


async def _act(slice: Slice, group: Sequence[Entry]) -> AsyncIterator[Results]:
    """As the action; an error ends or puts off those of the group for which it had not ended yet."""
    settled: set[Any] = set()
    try:
        read_config(group[0].row)  # which refuses a type that is none
        act = ACTIONS[str(group[0].row["type"])]
        granted, late = await within(slice, group, str(group[0].row.get("type")))
        settled |= {entry.id for entry, _ in late}
        yield late
        if granted:
            async for results in act(slice, granted):
                settled |= {entry.id for entry, _ in results}
                yield results
    except LeaseLost:
        raise
    except Exception as error:
        if is_away(error):
            raise
        rest = [entry for entry in group if entry.id not in settled]
        _log(slice, group[0], error)
        yield [(entry, _after(slice, entry, error)) for entry in rest]


def _after(slice: Slice, entry: Entry, error: Exception) -> Result:
    reason = str(error) if expected(error) else brief(error)
    if isinstance(error, Permanent):
        return failed(reason)
    attempts = entry.position.attempts + (0 if isinstance(error, RateLimited) else 1)
    return (
        Stay(retried(slice, entry, attempts, reason))
        if attempts < slice.app.settings.leads_attempts
        else failed(reason)
    )


def _log(slice: Slice, entry: Entry, error: Exception) -> None:
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    ids = {"account_id": str(slice.account_id), "stage_id": str(entry.document.get("stage_id"))}
    log.warning("lead.action_failed", **ids, sequence=entry.sequence, type=entry.row.get("type"), **facts)
