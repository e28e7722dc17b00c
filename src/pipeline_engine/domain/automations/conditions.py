"""The conditions of an automation, checked on documents in hand, each with the value that was found. Pure.

They say the same as the filters of `matching.py` and `repos/automations.py`, which MongoDB answers; a test compares the
two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.matching import SETTLED
from pipeline_engine.domain.automations.selection import FULL_SELECTION_PERIOD, watermark
from pipeline_engine.domain.explanation import Condition, Next, holds
from pipeline_engine.logs import clean
from pipeline_engine.repos.collection_spec import LEGACY_FLAG_COUNTS

Document = Mapping[str, Any]

WHY_SETTLED = {
    "automation_triggered": "it has fired",
    "automation_failed": "it failed for good",
    "skip_automations": "the deal is to be skipped",
}
REPEAT = "its id in the deal's retry_automations lets it fire again"


def of_automation(
    document: Document, automation: Automation | str, account_active: bool, now: datetime
) -> list[Condition]:
    """What must hold for every deal; `automation` may be the reason why its document could not be read."""
    status, module, type = (document.get(name) for name in ("status", "module", "type"))
    switched = Next("waits", None, "for a user to switch the automation on")
    account = Next("waits", None, "for its account to be active")
    kind = Next("never", None, f"this engine knows no automation of the type {type!r}")
    module_is = Next("never", None, f"the automation is for {module!r}, not for deals")
    return [
        Condition("status is ACTIVE", status, status == "ACTIVE", switched),
        Condition("module is DEAL", module, module == "DEAL", module_is),
        Condition("type is known", type, isinstance(type, str) and type in ACTIONS, kind),
        _readable(automation),
        Condition("account is active", document.get("account_id"), account_active, account),
        *([] if isinstance(automation, str) else [_old_enough(automation, now)]),
        _not_paused(document, now),
        _rested(document, now),
        _free(document, now),
    ]


def _readable(automation: Automation | str) -> Condition:
    fault = automation if isinstance(automation, str) else None
    return Condition("is well-formed", fault or "yes", fault is None, Next("waits", None, f"to be corrected: {fault}"))


def _old_enough(automation: Automation, now: datetime) -> Condition:
    at = automation.created_at + automation.delay
    return Condition("createdAt + delay has passed", at, at <= now, Next("fires", at, "when createdAt + delay is over"))


def _not_paused(document: Document, now: datetime) -> Condition:
    until, reason = document.get("paused_until"), document.get("paused_reason") or "no reason given"
    if until is None or until <= now:
        value = "not now; one deal goes ahead to see whether it works again" if document.get("brake") else "no"
        return Condition("is not paused", value, True)
    why = f"when its pause is over ({clean(str(reason))})"
    return Condition("is not paused", f"until {_time(until)}: {clean(str(reason))}", False, Next("fires", until, why))


def _rested(document: Document, now: datetime) -> Condition:
    at = document.get("next_at")
    return Condition(
        "no limit holds it back", at or "no", at is None or at <= now, Next("fires", at, "when a limit lets it go on")
    )


def _free(document: Document, now: datetime) -> Condition:
    """Neither under a live lease, nor flagged by an engine that has no leases."""
    name, until = "no run holds it", document.get("lease_until")
    if until is not None and until >= now:
        holder = f"{document.get('lease_owner')}, lease until {_time(until)}"
        why = f"in the run that holds it ({holder}), or in the next one"
        return Condition(name, holder, False, Next("fires", now, why))
    sign = document.get("updatedAt") or document.get("flag_seen_at")
    if document.get("is_running") is not True or until is not None or (sign and sign <= now - LEGACY_FLAG_COUNTS):
        return Condition(name, "free", True)
    over = sign + LEGACY_FLAG_COUNTS if sign else None
    return Condition(name, "is_running without a lease", False, Next("waits", over, "for another engine's is_running"))


def of_deal(automation: Automation, deal: Document, now: datetime) -> list[Condition]:
    """What must hold of the deal. Of a deal of another account only that is returned, and nothing it holds."""
    here = present(automation, deal, now)
    if not here[0].passed:
        return here[:1]
    again = flagged(automation, deal)
    # A flag overrides what was settled before; without one nothing depends on it.
    return [*here, *_if(not again.passed, unsettled(automation, deal)), *_if(again.passed, [again])]


def present(automation: Automation, deal: Document, now: datetime) -> list[Condition]:
    """As `matching.present`: of the account, in the stage, and entered within the window."""
    account, stage, starts = (deal.get(name) for name in ("account_id", "stage_id", "automation_starts"))
    entered = usable_date(starts)
    foreign = Next("never", None, "the deal belongs to another account")
    elsewhere = Next("never", None, f"the deal is in another stage; it counts when it enters {automation.stage_id}")
    return [
        Condition("account is the automation's", account, _names(account, automation.account_id), foreign),
        Condition("stage is the automation's", stage, _names(stage, automation.stage_id), elsewhere),
        *(_window(automation, entered, now) if entered else [_never_entered(starts)]),
    ]


def _never_entered(starts: object) -> Condition:
    return Condition("automation_starts is a time", starts, False, Next("never", None, "the deal has no time of entry"))


def _window(automation: Automation, starts: datetime, now: datetime) -> list[Condition]:
    since, due = automation.since, starts + automation.delay
    begun = "switched on again" if since == automation.active_from else "made"
    early = Next("never", None, f"the deal entered before the automation was {begun} ({_time(since)})")
    return [
        Condition("automation_starts is a time", starts, True),
        Condition(f"entered since {_time(since)}", starts, starts >= since, early),
        Condition("delay is over", due, due <= now, Next("fires", due, "when the delay is over")),
    ]


def unsettled(automation: Automation, deal: Document) -> list[Condition]:
    """As `matching.unsettled`: neither done, nor failed, nor to be skipped; what was done before counts only until the
    deal enters again, if the automation says `per_entry`."""
    entered_again = automation.reentry == "per_entry" and _entered_again(automation, deal)
    return [_unsettled(automation, deal, field, entered_again) for field in SETTLED]


def _unsettled(automation: Automation, deal: Document, field: str, entered_again: bool) -> Condition:
    named = _names(deal.get(field), automation.id)
    forgiven = entered_again and field != "skip_automations"
    value = "named, for an earlier entry" if named and forgiven else "named" if named else "not named"
    again = REPEAT if automation.reentry == "once" else f"{REPEAT}, and so does another entry into the stage"
    return Condition(
        f"not in {field}", value, not named or forgiven, Next("never", None, f"{WHY_SETTLED[field]}; {again}")
    )


def _entered_again(automation: Automation, deal: Document) -> bool:
    """Whether the deal was settled for another entry than the one it stands in now."""
    generations = deal.get("automation_generation")
    stored = generations.get(str(automation.id)) if isinstance(generations, Mapping) else None
    entry = stored.get("entry") if isinstance(stored, Mapping) else None
    return isinstance(entry, datetime) and entry != deal.get("automation_starts")


def flagged(automation: Automation, deal: Document) -> Condition:
    """As `matching.flagged`: the deal is flagged to be done again."""
    wanted = deal.get("retry_automations")
    named = isinstance(wanted, list) and _names(wanted, automation.id)
    value = "named" if named else "not named"
    return Condition("flagged in retry_automations", value, named, Next("never", None, "no repeat is asked for"))


def others_first(siblings: Iterable[Automation], deal: Document, now: datetime) -> Condition:
    """As `matching.others_first`: an automation that moves the deal away waits for the others that are due."""
    due = [f"{one.type} {one.id}" for one in siblings if holds(of_deal(one, deal, now))]
    value = ", ".join(due) or "none is due"
    waits = Next("waits", None, f"for the other automations of the stage: {value}")
    return Condition("the stage's others come first", value, not due, waits)


def of_selection(
    document: Document,
    automation: Automation,
    deal: Document,
    units: Sequence[Document],
    ahead: Sequence[Automation],
    now: datetime,
) -> list[Condition]:
    """What may keep the next run from a deal that matches. `ahead`: the automations that come first, if any."""
    matches = holds(of_deal(automation, deal, now))
    # A repeat that was asked for is found by itself, and clears pause and watermark.
    hidden = matches and not flagged(automation, deal).passed
    found = [_no_pause(units, now), _above_watermark(document, automation, deal, now)]
    others = [others_first(ahead, deal, now)] if ahead else []
    return [*_if(hidden, found), *_if(matches, others)]


def _no_pause(units: Sequence[Document], now: datetime) -> Condition:
    waiting = [unit for unit in units if unit["state"] == "pending" and unit["next_at"] > now]
    if not waiting:
        return Condition("no attempt waits", "none", True)
    last = max(waiting, key=lambda unit: unit["next_at"])
    error = clean(str(last["last_error"]))
    why = error if error.startswith("held: ") else f"attempt {last['attempts']} failed: {error}"
    return Condition(
        "no attempt waits", f"until {_time(last['next_at'])}", False, Next("retries", last["next_at"], why)
    )


def _above_watermark(document: Document, automation: Automation, deal: Document, now: datetime) -> Condition:
    name, settled = "entered after what counts as settled", watermark(document, automation, now)
    starts = usable_date(deal.get("automation_starts"))
    if settled is None or settled <= automation.since or starts is None or starts > settled:
        return Condition(name, settled or "nothing does", True)
    at = document["watermark"]["looked_at"] + FULL_SELECTION_PERIOD
    return Condition(name, settled, False, Next("fires", at, "at the next look over all deals of the stage"))


def _if(matters: object, conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions; where they do not matter they neither hold nor fail."""
    return [one if matters else replace(one, passed=None) for one in conditions]


def _names(value: object, id: ObjectId) -> bool:
    """As `$in` sees a field: the value itself, or an element when it is a list; as ObjectId or as text."""
    values = value if isinstance(value, list) else [value]
    return id in values or str(id) in values


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
