"""What reliability.md promises of an import (I1-I6, I9, I14, I16), compared with what it left in MongoDB and S3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.support.drills.case import Check, leases_released, listed, one_writer
from tests.support.drills.imports.case import ImportCase
from tests.support.drills.imports.reference import same_stage

OWN_COLUMNS = ["_row", "_line", "_column", "_code", "_message"]


def nothing_lost(case: ImportCase) -> Iterator[str]:
    """I1: every unit has reached its end."""
    if case.queue["status"] != "completed":
        yield f"I1: the import is {case.queue['status']}: {case.queue.get('error')}"
    for chunk in case.chunks:
        if chunk["state"] != "done":
            yield f"I1: chunk {chunk['n']} is {chunk['state']}"
    if case.queue.get("events_due"):
        yield f"I1: events are still due: {case.queue['events_due']}"


def announced_once(case: ImportCase) -> Iterator[str]:
    """I1: the end was sent to the CRM and to the user, each once."""
    events = [(event["type"], event["status"]) for event in case.events]
    if events not in ([("import.completed", "new")], [("import.completed", "done")]):
        yield f"I1: CRM events are {events}"
    messages = [(message["event"], message["state"]) for message in case.messages]
    if messages != [("import_finished", "delivered")]:
        yield f"I1: socket events are {messages}"


def nothing_held(case: ImportCase) -> Iterator[str]:
    """I2 and I9: no lease and no flag outlives the run."""
    yield from leases_released((case.queue, *case.chunks))
    for document in (case.queue, *case.chunks):
        if not isinstance(document.get("token"), int) or document["token"] < 1:
            yield f"I2: {document['_id']} has the token {document.get('token')}"
    if case.queue["in_progress"] is not False:
        yield "I9: in_progress is still set"


def rows_partition(case: ImportCase) -> Iterator[str]:
    """I4: every row is a deal or an error, once."""
    deals = Counter(deal["import_row"] for deal in case.deals if deal.get("import_id") == case.queue["_id"])
    errors = Counter(error["row"] for error in case.errors)
    for kind, found, wanted in (("deal", deals, case.reference.deals), ("error", errors, case.reference.errors)):
        if double := [row for row, times in found.items() if times > 1]:
            yield f"I4: rows {listed(double)} are each more than one {kind}"
        if lost := set(wanted) - set(found):
            yield f"I4: rows {listed(lost)} became no {kind}"
        if extra := set(found) - set(wanted):
            yield f"I4: rows {listed(extra)} should have become no {kind}"
    if strangers := [deal["_id"] for deal in case.deals if deal.get("import_id") != case.queue["_id"]]:
        yield f"I4: deals {listed(strangers)} belong to no import"


def errors_reported(case: ImportCase) -> Iterator[str]:
    """I4: the error CSV has exactly the rows in error, each as it was and with the reason."""
    wanted = case.reference.errors
    if case.error_csv is None:
        if wanted:
            yield "I4: there is no error CSV"
        return
    header, *rows = case.error_csv
    if header != case.reference.header + OWN_COLUMNS:
        yield f"I4: the error CSV has the columns {header}"
    reported = [(int(row[-5]), row[-2]) for row in rows]
    if reported != sorted(wanted.items()):
        yield f"I4: the error CSV has {len(reported)} rows, {len(wanted)} are in error, or others or for other reasons"
    codes = {error["row"]: error["code"] for error in case.errors}
    if codes != wanted:
        yield f"I4: rows {listed(set(codes.items()) ^ set(wanted.items()))} have another reason in the chunks"


def totals_agree(case: ImportCase) -> Iterator[str]:
    """I4 and I5: the figures shown are the rows that there are."""
    wanted = {"added": len(case.reference.deals), "failed": len(case.reference.errors), "updated": 0, "skipped": 0}
    shown = {name: case.queue.get("progress", {}).get(f"rows_{name}") for name in wanted}
    if shown != wanted:
        yield f"I4: progress shows {shown}, there are {wanted}"
    ledger = {"added": case.total("created"), "failed": case.total("failed"), "rows": case.total("rows")}
    if ledger != {"added": wanted["added"], "failed": wanted["failed"], "rows": case.reference.rows}:
        yield f"I5: the chunks add up to {ledger}, there are {wanted}"
    if len(case.reports) != 1:
        yield f"I5: there are {len(case.reports)} reports"
    for report in case.reports:
        if (report["total_records_added"], report["total_errors"]) != (wanted["added"], wanted["failed"]):
            yield f"I4: the report shows {report['total_records_added']} and {report['total_errors']}"
    for event in (*case.events, *case.messages):
        if (event["data"]["added"], event["data"]["failed"]) != (wanted["added"], wanted["failed"]):
            yield f"I4: the event {event['_id']} says {event['data']}"


def stages_once(case: ImportCase) -> Iterator[str]:
    """I6: one stage per name, however it is spelled."""
    names = Counter((str(stage["account_id"]), same_stage(stage["name"])) for stage in case.stages)
    for (_, name), times in names.items():
        if times > 1:
            yield f"I6: there are {times} stages {name!r}"
    if unused := {name for _, name in names} - {same_stage(deal["stage_id"]) for deal in case.reference.deals.values()}:
        yield f"I6: no row asks for the stages {listed(unused)}"


def no_litter(case: ImportCase) -> Iterator[str]:
    """I14: the file and its error CSV are all that is left."""
    belong = {case.key, case.queue.get("error_csv_key") or case.key}
    if litter := case.objects - belong:
        yield f"I14: objects {listed(litter)}"
    if missing := belong - case.objects:
        yield f"I14: objects {listed(missing)} are gone"
    if case.uploads:
        yield f"I14: unfinished uploads of {listed(case.uploads)}"


def same_deals(case: ImportCase) -> Iterator[str]:
    """I16: the deals are those that a run without any fault makes."""
    stages = {stage["_id"]: stage["name"] for stage in case.stages}
    options = case.queue["additional_data"]
    common = {
        "account_id": case.queue["account_id"],
        "created_by": case.queue["user_id"],
        "owner": case.queue["user_id"],
        "pipeline_id": options["pipeline_id"],
        "tags": options["tags"],
        "source": "csv",
    }
    for deal in case.deals:
        wanted = {**case.reference.deals.get(deal["import_row"], {}), **common}
        found = {**deal, "stage_id": stages.get(deal["stage_id"])}
        if wrong := [name for name, value in wanted.items() if found.get(name) != value]:
            yield f"I16: row {deal['import_row']}: {wrong[0]} is {found.get(wrong[0])!r}, not {wanted[wrong[0]]!r}"
        if deal.get("automation_starts") is None:
            yield f"I16: row {deal['import_row']} starts no automations"


CHECKS: tuple[Check[ImportCase], ...] = (
    nothing_lost,
    announced_once,
    nothing_held,
    one_writer,
    rows_partition,
    errors_reported,
    totals_agree,
    stages_once,
    no_litter,
    same_deals,
)
