"""What reliability.md promises of a lead's runs (I1, I2, I7, I10, I17), compared with what they left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from tests.support.drills.case import Check, Document, leases_released, listed, of_one_account
from tests.support.drills.history import Change
from tests.support.drills.leads.case import LeadCase
from tests.support.drills.leads.outside import Taken

MAX_COPIES = {"email": 2, "sms": 1}
"""As the policies of `.env.example` allow: an e-mail in doubt is sent again, a text is not."""
PRECISION = timedelta(milliseconds=1)
"""Of a date in MongoDB."""
CLOCKS = timedelta(milliseconds=250)
"""By so much the clocks of two daemons may differ, of which `performed_at` is."""
OPEN_ROWS = ("waiting", "pending", "running", "waiting_response", "waiting_task")


def nothing_lost(case: LeadCase) -> Iterator[str]:
    """I1: the lead has gone all its way, or stopped at a message of which nobody knows whether it went out."""
    last = case.entries[-1]
    if last["status"] == "failed":
        if not case.in_doubt():
            yield f"I1: {case.id} failed: {last.get('reason')}"
        return
    ends = {"replied": [case.stages.replied], "silent": [case.stages.silent]}
    ends["either"] = [*ends["replied"], *ends["silent"]]
    if last["status"] != "completed" or last["stage_id"] not in ends[case.expected]:
        yield f"I1: {case.id} should be {case.expected}, is {last['status']} in its stage {len(case.entries)}"
    way = [case.stages.inquired, case.stages.responded, last["stage_id"]]
    if [one["stage_id"] for one in case.entries] != way:
        yield f"I1: {case.id} entered {len(case.entries)} stages in another order"
    if wrong := [one["status"] for one in case.entries[:-1] if one["status"] != "left"]:
        yield f"I1: {case.id}: stages before are {listed(wrong)}"
    if undone := [f"{_name(row)} {row['status']}" for row in _rows(case) if row["status"] != "done"]:
        yield f"I1: {case.id}: actions are not done: {listed(undone)}"


def rows_follow(case: LeadCase) -> Iterator[str]:
    """I1: no row of a run that has ended is open, and a run has each number once."""
    for entry in case.entries:
        rows = case.rows.get(entry["_id"], [])
        if still := [row["sequence_number"] for row in rows if row["status"] in OPEN_ROWS]:
            yield f"I1: {case.id}: rows {listed(still)} are open though the run is {entry['status']}"


def serial(case: LeadCase) -> Iterator[str]:
    """I10: actions begin in rising order, each after the end of the one before, which is a committed one."""
    for entry in case.entries:
        reached = [one.fields["current_sequence"] for one in case.changes if _moved(one.id, one.fields, entry)]
        if any(later < earlier for earlier, later in pairwise(reached)):
            yield f"I10: {case.id}: the run went from action to action as {listed(reached)}"
    performed = [row for row in _rows(case) if row.get("performed_at")]
    for one, other in pairwise(performed):
        if min(other["performed_at"], _started(other)) < one["performed_at"] - CLOCKS:
            yield f"I10: {case.id}: {_name(other)} began before {_name(one)} had ended"


def one_at_a_time(case: LeadCase) -> Iterator[str]:
    """I10: outside as well, no message of the lead began before the one of an earlier action was over."""
    order = {entry["_id"]: n for n, entry in enumerate(case.entries)}
    for one, other in pairwise(case.log):
        before, after = (order[one.entry], one.sequence), (order[other.entry], other.sequence)
        if after < before or (after > before and other.started < one.ended):
            yield f"I10: {case.id}: message {after} began while or before {before} was sent"
    for one in case.log:
        opened = next(each.at for each in case.changes if _opens(each, one))
        if opened and one.started < opened - PRECISION:
            yield f"I10: {case.id}: message {one.sequence} began before the end of the action before was stored"


def nothing_early(case: LeadCase) -> Iterator[str]:
    """I10: nothing began before it was due."""
    for row in _rows(case):
        due, done = row.get("perform_at"), row.get("performed_at")
        if row["type"] == "wait" and done and done < due:
            yield f"I10: {case.id}: {_name(row)} ended {due - done} early"
    for one in case.log:
        row = next(row for row in case.rows[one.entry] if row["sequence_number"] == one.sequence)
        if row.get("attempts") in (0, None) and one.started < row["perform_at"] - PRECISION:
            yield f"I10: {case.id}: message {one.sequence} began early"


def reply_or_time_out(case: LeadCase) -> Iterator[str]:
    """I10: a wait for a reply ended by the reply or by the time-out, never by both."""
    ends = [one["stage_id"] for one in case.entries if one["stage_id"] in (case.stages.replied, case.stages.silent)]
    if len(ends) > 1:
        yield f"I10: {case.id}: {len(ends)} branches of a wait were taken"


def one_holder(case: LeadCase) -> Iterator[str]:
    """I2: every claim has a token of its own, and none is made while another one holds; none outlives the run. Only the
    end of a run from outside, which its entry into another stage is, may come in between."""
    yield from leases_released(case.entries)
    for entry in case.entries:
        token, until = 0, None
        for change in (one for one in case.changes if one.id == entry["_id"]):
            fields = change.fields
            if "token" in fields:
                if fields["token"] != token + 1:
                    yield f"I2: {case.id}: token went from {token} to {fields['token']}"
                at = fields["lease_until"] - timedelta(seconds=case.lease) if fields.get("lease_until") else None
                if at and until and at < until and "status" not in fields:
                    yield f"I2: {case.id}: claimed while another run held it"
                token = fields["token"]
            until = fields.get("lease_until", until)


def effects_inside(case: LeadCase) -> Iterator[str]:
    """I7: an effect on our own data is there once for an action that is done."""
    done = Counter(row["type"] for row in _rows(case) if row["status"] == "done")
    notes = Counter(str(one["automation"]) for one in case.notes)
    if len(case.notes) != done["note"] or any(times > 1 for times in notes.values()):
        yield f"I7: {case.id} has {len(case.notes)} notes of {done['note']} actions"
    if len(case.lead["tags"]) != done["add_tag"]:
        yield f"I7: {case.id} has the tags {listed(case.lead['tags'])} of {done['add_tag']} actions"


def effects_outside(case: LeadCase) -> Iterator[str]:
    """I7: what was sent was sent once, or is flagged, and never more often than its channel allows."""
    records = {one["_id"]: one for one in case.effects}
    copies = Counter(one.key for one in case.log)
    for key, times in copies.items():
        if key not in records:
            yield f"I7: {key} left without a record"
            continue
        if times > 1 and not records[key]["ambiguous"]:
            yield f"I7: {key} left {times} times and is not flagged"
        if times > MAX_COPIES[records[key]["channel"]]:
            yield f"I7: {key} left {times} times"


def sent_means_sent(case: LeadCase) -> Iterator[str]:
    """I7: a record says that something was sent only then, and so does a row that is done."""
    sent = {one.key for one in case.log}
    for record in case.effects:
        if record["state"] == "sent" and record["_id"] not in sent:
            yield f"I7: {record['_id']} is said to be sent and never was"
        # The run goes on when the provider has the message; a kill right then leaves the record as it was.
        if record["state"] == "sending" and not record["ambiguous"] and record["_id"] not in sent:
            yield f"I1: {record['_id']} is still being sent"
    sends = {f"lead:{row['lead_stage_id']}:{row['sequence_number']}": row for row in _rows(case)}
    for key, row in sends.items():
        if row["type"] in MAX_COPIES and row["status"] == "done" and key not in sent:
            yield f"I7: {key} is done and nothing was sent"


def one_tenant(case: LeadCase) -> Iterator[str]:
    """I17: whatever was written belongs to the lead's account, and went to the lead."""
    yield from of_one_account(case, ("entries", "notes", "effects"), case.lead["account_id"])
    for one in case.log:
        if one.to not in (case.lead["email"], case.lead["phone"]):
            yield f"I17: {one.key} went to {one.to}"


def _rows(case: LeadCase) -> list[Document]:
    return [row for entry in case.entries for row in case.rows.get(entry["_id"], [])]


def _moved(id: object, fields: Document, entry: Document) -> bool:
    return id == entry["_id"] and fields.get("current_sequence") is not None


def _opens(change: Change, taken: Taken) -> bool:
    return change.id == taken.entry and change.fields.get("current_sequence") == taken.sequence


def _started(row: Document) -> datetime:
    started: datetime = row.get("started_at") or row["performed_at"]
    return started


def _name(row: Document) -> str:
    return f"action {row['sequence_number']} ({row['type']})"


CHECKS: tuple[Check[LeadCase], ...] = (
    nothing_lost,
    rows_follow,
    serial,
    one_at_a_time,
    nothing_early,
    reply_or_time_out,
    one_holder,
    effects_inside,
    effects_outside,
    sent_means_sent,
    one_tenant,
)
