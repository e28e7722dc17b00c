"""What reliability.md promises of an automation (I1-I3, I7-I9, I17, I21), compared with what it left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from bson import ObjectId

from tests.support.drills.automations.case import MARKS, WRITTEN, AutomationCase
from tests.support.drills.case import Check, Document, leases_released, listed, of_one_account, one_writer

POLICY = {"email": "resend", "sms": "park", "instareport": "resend", "instasite": "resend"}
"""What happens to a call that may or may not have gone out, as .env.example has it."""
MAX_COPIES = {"resend": 2, "park": 1}
MAX_ATTEMPTS = 3


def nothing_lost(case: AutomationCase) -> Iterator[str]:
    """I1: every deal has reached its end, and that end is the right one."""
    for mark, wanted in zip(MARKS, (case.expected.done, case.expected.failed), strict=True):
        if lost := wanted - case.marked(mark):
            yield f"I1: {listed(lost)} not in {mark}"
    for kind, found in (("unit", case.units), ("effect", case.effects)):
        for one in found:
            if one["state"] in ("pending", "sending", "planned"):
                yield f"I1: {kind} {one['_id']} is {one['state']}"
    if opened := [log["_id"] for log in case.logs if log["state"] != "closed"]:
        yield f"I1: logs {listed(opened)} are open"
    if case.automation.get("run") is not None:
        yield "I1: the run has not ended"


def announced_once(case: AutomationCase) -> Iterator[str]:
    """I1: of every run its begin and its end were sent to users once, with the right figures."""
    for run in {log["run_id"] for log in case.logs}:
        sent = {message["event"]: message for message in case.messages if message["_id"].endswith(f":{run}")}
        if sent.keys() - {"automation_paused"} != {"process_deals", "automation_finished"}:
            yield f"I1: of run {run} users were sent {sorted(sent)}"
            continue
        sums = {outcome: sum(len(log[outcome]) for log in case.logs if log["run_id"] == run) for outcome in OUTCOMES}
        figures = sent["automation_finished"]["data"]
        if (figures["succeeded"], figures["failed"]) != (sums["success"], sums["failed"]):
            yield f"I8: of run {run} users were sent {figures}, its logs say {sums}"
    if silent := [message["_id"] for message in case.messages if message["state"] != "delivered"]:
        yield f"I1: {listed(silent)} not delivered"


def nothing_held(case: AutomationCase) -> Iterator[str]:
    """I2 and I9: no lease and no flag outlives the run."""
    yield from leases_released([case.automation])
    if case.automation["is_running"] is not False:
        yield "I9: is_running is still set"


def effects_on_deals(case: AutomationCase) -> Iterator[str]:
    """I7: an effect on our own data is there once for a deal that is marked, never for another."""
    if case.type in WRITTEN:
        times = Counter(one["deal_id"] for one in case.written)
    elif times_in_effect := TIMES_IN_EFFECT.get(case.type):
        times = Counter({deal["_id"]: times_in_effect(case.automation, deal) for deal in case.deals})
    else:
        return
    done = case.marked("automation_triggered")
    for deal in times.keys() | done:
        if times[deal] != int(deal in done):
            yield f"I7: {case.type} took effect {times[deal]} times on {deal}"


def effects_outside(case: AutomationCase) -> Iterator[str]:
    """I7: what was sent was sent once, or is flagged, and never more often than its channel allows."""
    if case.type not in POLICY:
        return
    records = {record["_id"]: record for record in case.effects}
    most = MAX_COPIES[POLICY[case.type]]
    for unit, times in case.copies().items():
        if unit not in records:
            yield f"I7: {unit} left without a record"
        elif times > 1 and not records[unit]["ambiguous"]:
            yield f"I7: {unit} left {times} times and is not flagged"
        if times > most:
            yield f"I7: {unit} left {times} times, {most} are allowed"


def sent_means_sent(case: AutomationCase) -> Iterator[str]:
    """I7 and I8: a deal is marked done when something was sent for it, and a record says so only then."""
    if case.type not in POLICY:
        return
    out = case.copies()
    for record in case.effects:
        if record["state"] == "sent" and not out[record["_id"]]:
            yield f"I7: {record['_id']} is said to be sent and never was"
    reached = {ObjectId(unit.split(":")[1]) for unit in out}
    if unsent := case.marked("automation_triggered") - reached:
        yield f"I8: {listed(unsent)} marked as done, and nothing was sent"
    said = {ObjectId(one["_id"].split(":")[1]) for one in case.effects if one["state"] == "sent"}
    if unmarked := said - case.marked("automation_triggered"):
        yield f"I8: {listed(unmarked)} sent and not marked as done"


def logs_partition(case: AutomationCase) -> Iterator[str]:
    """I8: every deal stands in the logs once, under what became of it."""
    success, failed = Counter(case.entries("success")), Counter(case.entries("failed"))
    if both := success.keys() & failed.keys():
        yield f"I8: {listed(both)} logged as success and as failed"
    if double := [deal for deal, times in (success + failed).items() if times > 1]:
        yield f"I8: {listed(double)} logged more than once"
    for outcome, logged, mark in (("success", success, MARKS[0]), ("failed", failed, MARKS[1])):
        if wrong := logged.keys() ^ case.marked(mark):
            yield f"I8: {listed(wrong)} in {mark} or logged as {outcome}, but not both"
    for log in case.logs:
        if sorted(log["deals"]) != sorted(entry["deal"] for outcome in OUTCOMES for entry in log[outcome]):
            yield f"I8: log {log['_id']} names other deals than it has entries for"
        if any(not entry.get("message") for entry in log["failed"]):
            yield f"I8: log {log['_id']} does not say why"


def marks_agree(case: AutomationCase) -> Iterator[str]:
    """I8: marks, units and flags agree."""
    done, failed = (case.marked(mark) for mark in MARKS)
    if both := done & failed:
        yield f"I8: {listed(both)} marked as done and as failed"
    if extra := (done | failed) - case.expected.due:
        yield f"I8: {listed(extra)} marked, though not due"
    parked = {unit["deal_id"] for unit in case.units if unit["state"] == "parked"}
    if wrong := parked ^ failed:
        yield f"I8: {listed(wrong)} failed without a reason, or parked and not marked"
    if flagged := [deal["_id"] for deal in case.deals if case.id in (deal.get("retry_automations") or [])]:
        yield f"I8: {listed(flagged)} still flagged"


def one_tenant(case: AutomationCase) -> Iterator[str]:
    """I17: whatever the automation touched or wrote belongs to its account."""
    account = case.automation["account_id"]
    yield from of_one_account(case, ("deals", "logs", "units", "effects", "written", "messages", "events"), account)
    deals = {str(deal["_id"]): deal for deal in case.deals}
    for arrival in case.arrivals:
        deal = deals.get(arrival.unit.split(":")[1], {})
        if arrival.to not in (deal.get("contact_email"), deal.get("contact_phone"), str(account)):
            yield f"I17: {arrival.unit} went to {arrival.to}"


def attempts_first(case: AutomationCase) -> Iterator[str]:
    """I21: every call was counted before it was made, and they are no more than three."""
    out = case.copies()
    for record in case.effects:
        if not max(1, out[record["_id"]]) <= record["attempts"] <= MAX_ATTEMPTS:
            yield f"I21: {record['_id']} has {record['attempts']} attempts and left {out[record['_id']]} times"
        if record["history"][0]["state"] != "sending":
            yield f"I21: {record['_id']} began as {record['history'][0]['state']}"
    for unit in case.units:
        if unit["attempts"] > MAX_ATTEMPTS:
            yield f"I21: unit {unit['_id']} has {unit['attempts']} attempts"


OUTCOMES = ("success", "failed")

TIMES_IN_EFFECT: dict[str, Callable[[Document, Document], int]] = {
    "add_tag": lambda automation, deal: (deal["tags"] or []).count(automation["tag"]),
    "remove_tag": lambda automation, deal: int(automation["tag"] not in deal["tags"]),
    "owner": lambda automation, deal: int(deal["owner"] == automation["owner_id"]),
    "follower": lambda automation, deal: (deal.get("followers") or []).count(automation["follower_id"]),
    "stage": lambda automation, deal: int(deal["stage_id"] == automation["target_stage_id"]),
}
"""How often a deal shows the effect of an automation that changes it."""

CHECKS: tuple[Check[AutomationCase], ...] = (
    nothing_lost,
    announced_once,
    nothing_held,
    one_writer,
    effects_on_deals,
    effects_outside,
    sent_means_sent,
    logs_partition,
    marks_agree,
    one_tenant,
    attempts_first,
)
