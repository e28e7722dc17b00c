"""The conditions under which a lead's run goes on, each with its actual value and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.explanation import Condition, Next
from pipeline_engine.domain.leads.config import Branch, ResponseConfig, TaskConfig, fault_of, read_config
from pipeline_engine.domain.leads.ending import EXITS, ends_run
from pipeline_engine.domain.leads.pauses import read_pause
from pipeline_engine.logs import clean
from pipeline_engine.repos.lead_stages import HELD

Document = Mapping[str, Any]

WHY_ENDED = {
    "completed": "it was completed",
    "left": "the lead left the stage",
    "cancelled": "it was cancelled",
    "failed": "it failed; `leads retry` or `leads skip` goes on",
}


@dataclass(frozen=True)
class Surroundings:
    """What a run stands in. `account_active`: as `References.account_is_active`."""

    lead: Document
    stage: Document | None
    pipeline: Document | None
    account: Document
    account_active: bool
    active_leads: int
    """How many leads of the account are in running automation."""
    max_active: int
    limit: int | None = None
    """How many actions of the current one's type the account may perform a minute."""


def of_lead(entry: Document | None, around: Surroundings) -> list[Condition]:
    """What must hold of the lead and its entry, whatever action it is at."""
    status = str(around.lead.get("status", "open"))
    closed = Next("never", None, f"the lead is {status}")
    found = [Condition("the lead is open", status, status not in ("won", "lost"), closed)]
    if entry is None:
        return [*found, _never_entered()]
    return [*found, _under_way(entry), _account(around.account_active)]


def _never_entered() -> Condition:
    never = Next("never", None, "it never entered a stage: `leads enter` lets it in")
    return Condition("has entered a stage", "never", False, never)


def _under_way(entry: Document) -> Condition:
    status = str(entry.get("status"))
    reason = f": {clean(str(entry['reason']))}" if entry.get("reason") else ""
    ended = Next("never", None, f"{WHY_ENDED.get(status, f'its status is {status}')}{reason}")
    return Condition("the run has not ended", status, status in ("entering", "active"), ended)


def _account(active: bool) -> Condition:
    inactive = Next("waits", None, "for the account, which is not active")
    return Condition("account is active", "active" if active else "not active", active, inactive)


def of_pauses(around: Surroundings, now: datetime) -> list[Condition]:
    """Neither stage nor pipeline nor account is paused."""
    holders = (("stage", around.stage), ("pipeline", around.pipeline), ("account", around.account))
    return [_not_paused(name, document, now) for name, document in holders]


def _not_paused(name: str, document: Document | None, now: datetime) -> Condition:
    pause = read_pause(document)
    if pause is None or not pause.holds(now):
        return Condition(f"{name} is not paused", "not paused", True)
    value = f"paused since {_time(pause.since)}, waits: {pause.waits}"
    return Condition(f"{name} is not paused", value, False, Next("waits", pause.until, f"for the pause of its {name}"))


def of_entering(around: Surroundings, ahead: int) -> list[Condition]:
    """A lead that enters is let in when a place is free; `ahead`: how many of its account wait before it."""
    full = around.active_leads >= around.max_active
    value = f"{around.active_leads:,} of {around.max_active:,} leads, {ahead:,} wait ahead"
    waits = Next("waits", None, f"for a place: {value}")
    return [Condition("a place is free for it", value, not full, waits)]


def of_action(entry: Document, row: Document | None, around: Surroundings, now: datetime) -> list[Condition]:
    """The action that the run is at can be performed, is due, and no process performs it."""
    if row is None:
        gone = Next("fails", now, "the row of its action is gone")
        return [Condition("its action is known", entry.get("current_sequence"), False, gone)]
    fault = fault_of(row)
    refused = Next("fails", usable_date(entry.get("perform_at")), f"as its action is refused: {fault}")
    readable = Condition("its action can be read", fault or name_of(row), fault is None, refused)
    return [readable, _due(entry, row, around, now), *_no_attempt_failed(entry), _limit(around), _free(entry, now)]


def _due(entry: Document, row: Document, around: Surroundings, now: datetime) -> Condition:
    at = usable_date(entry.get("perform_at"))
    if at is None:
        return Condition("it is due", "no time", False, Next("waits", None, "for a due time"))
    return Condition("it is due", at, at <= now, Next(*_when_due(entry, row), why=_why_due(entry, row, around)))


def _when_due(entry: Document, row: Document) -> tuple[Any, datetime]:
    what = "retries" if entry.get("attempts") and entry.get("last_error") and not _held(entry) else "runs"
    return what, entry["perform_at"]


def _why_due(entry: Document, row: Document, around: Surroundings) -> str:
    config = None if fault_of(row) else read_config(row)
    if isinstance(config, ResponseConfig) and entry.get("current_status") == "waiting_response":
        channel = "" if config.channel == "any" else f" by {config.channel}"
        return (
            f"when the lead has not replied{channel} until then: the run then {_branch(config.on_timeout)}, "
            f"and with a reply it {_branch(config.on_response)} at once"
        )
    if isinstance(config, TaskConfig) and entry.get("current_status") == "waiting_task":
        return f"when its task is not done until then: the run then {_branch(config.on_timeout)}"
    if row.get("type") == "wait":
        return "when the wait is over"
    if held := _held(entry):
        return held
    if entry.get("attempts") and entry.get("last_error"):
        return f"attempt {entry['attempts']} failed: {clean(str(entry['last_error']))}"
    if around.limit is not None:
        return f"when its due time comes: the account's limit of {around.limit:,} a minute may have put it off"
    return "when its due time comes"


def _limit(around: Surroundings) -> Condition:
    """Shown without effect: what is over the limit gets a later due time."""
    value = "none" if around.limit is None else f"{around.limit:,} actions of its type a minute"
    return Condition("limit of the account", value, None)


def _no_attempt_failed(entry: Document) -> list[Condition]:
    """Shown without effect: the due time says when the next attempt is."""
    error = entry.get("last_error")
    # What is held is no error, and has a condition of its own.
    return [Condition("last error", clean(str(error)), None)] if error and not _held(entry) else []


def _held(entry: Document) -> str:
    """Why the action waits for the send window; empty when it does not."""
    error = str(entry.get("last_error") or "")
    return clean(error) if error.startswith(HELD) else ""


def _branch(branch: Branch) -> str:
    return {"continue": "goes on", "stop": "is completed"}.get(branch.what, f"moves to stage {branch.stage_id}")


def _free(entry: Document, now: datetime) -> Condition:
    until, owner = usable_date(entry.get("lease_until")), entry.get("lease_owner")
    if until is None or not owner:
        return Condition("no process holds it", "no process", True)
    running = Next("runs", now, f"{owner} performs it, lease until {_time(until)}")
    return Condition("no process holds it", str(owner), until < now, running)


def of_exits(stage: Document | None) -> list[Condition]:
    """What ends the run early; shown without effect, as it would have ended the run."""
    on = [exit for exit in EXITS if ends_run(stage or {}, exit)]
    return [Condition("ends early on", ", ".join(on) or "nothing", None)]


def name_of(row: Document) -> str:
    """Number and type of an action."""
    return f"{row.get('sequence_number')} {row.get('type')}"


def behind(rows: Sequence[Document], sequence: object) -> list[str]:
    """The actions behind the one of this number, by number and type."""
    place = sequence if isinstance(sequence, int) else -1
    return [name_of(row) for row in rows if row["sequence_number"] > place]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
