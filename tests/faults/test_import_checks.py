"""The checks of imports are believed only because they find each kind of violation when one is planted."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from tests.support.drills.history import Change
from tests.support.drills.imports.case import ImportCase
from tests.support.drills.imports.checks import CHECKS
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill
from tests.support.drills.planted import LATER, TAKEN_LATE, TAKEN_TWICE, Plant, assert_each_is_seen, set_field

FILE = csv_file(300, bad_every=30)


def set_queue(**changes: Any) -> Plant[ImportCase]:
    return lambda case: case.queue.update(changes)


def set_chunk(**changes: Any) -> Plant[ImportCase]:
    return lambda case: case.chunks[1].update(changes)


def set_deal(**changes: Any) -> Plant[ImportCase]:
    return lambda case: case.deals[0].update(changes)


def twice(documents: str, **changes: Any) -> Plant[ImportCase]:
    return lambda case: getattr(case, documents).append({**getattr(case, documents)[0], "_id": ObjectId(), **changes})


def less(documents: str) -> Plant[ImportCase]:
    return lambda case: getattr(case, documents).pop()


def changed(collection: str, *steps: dict[str, Any]) -> Plant[ImportCase]:
    """Changes on the way, of the import or of its second chunk, that the end does not show."""

    def plant(case: ImportCase) -> None:
        id = case.queue["_id"] if collection == "queues" else case.chunks[1]["_id"]
        case.changes.extend(Change(collection, id, step) for step in steps)

    return plant


PLANTS: list[tuple[str, Plant[ImportCase]]] = [
    ("I1: the import is processing", set_queue(status="processing")),
    ("I1: chunk 1 is open", set_chunk(state="open")),
    ("I1: events are still due", set_queue(events_due=[{"event_id": "x"}])),
    ("I1: CRM events are []", less("events")),
    ("I1: CRM events are [('import.completed', 'done'), (", twice("events")),
    ("I1: socket events are [('import_finished', 'waiting')]", lambda case: case.messages[0].update(state="waiting")),
    ("I1: socket events are [('import_finished', 'delivered'), (", twice("messages")),
    ("I2: {chunk} is still held by other", set_chunk(lease_owner="other")),
    ("I2: {queue} is still held by None", set_queue(lease_until=LATER)),
    ("I2: {chunk} has the token 0", set_chunk(token=0)),
    ("I2: import_chunks {chunk}: token went from 1 to 3", changed("import_chunks", {"token": 3})),
    ("I2: queues {queue}: token went from 2 to 1", changed("queues", {"token": 2}, {"token": 1})),
    (
        "I2: import_chunks {chunk}: claimed while one held it",
        changed("import_chunks", *TAKEN_TWICE),
    ),
    (
        "I2: import_chunks {chunk}: became done without a holder",
        changed("import_chunks", {"state": "open"}, {"state": "done"}),
    ),
    (
        "I3: import_chunks {chunk}: no holder for 0:59:58",
        changed("import_chunks", *TAKEN_LATE),
    ),
    ("I4: rows 299 became no deal", less("deals")),
    ("I4: rows 1 are each more than one deal", twice("deals")),
    ("I4: rows 30 should have become no deal", twice("deals", import_row=30)),
    ("I4: deals {deal} belong to no import", set_deal(import_id=ObjectId())),
    ("I4: the error CSV has 9 rows, 10 are in error", less("error_csv")),
    ("I4: there is no error CSV", set_field("error_csv", None)),
    ("I4: the error CSV has the columns ['Deal", lambda case: case.error_csv and case.error_csv[0].pop()),
    ("I4: rows (30, 'nul'), (30, 'ragged') have another", lambda case: case.chunks[0]["errors"][0].update(code="nul")),
    (
        "I4: rows 30 are each more than one error",
        lambda case: case.chunks[0]["errors"].append(case.chunks[0]["errors"][0]),
    ),
    ("I4: rows 30, 60, 90 became no error", lambda case: case.chunks[0]["errors"].clear()),
    ("I4: progress shows {{'added': 1,", lambda case: case.queue["progress"].update(rows_added=1)),
    ("I4: the report shows 290 and 1", lambda case: case.reports[0].update(total_errors=1)),
    ("I4: the event import.completed:{queue}:0 says", lambda case: case.events[0]["data"].update(added=1)),
    ("I5: the chunks add up to {{'added': 194,", set_chunk(created=1)),
    ("I5: there are 0 reports", less("reports")),
    ("I5: there are 2 reports", twice("reports")),
    ("I5: queues {queue}: was completed and became completed", changed("queues", {"status": "completed"})),
    ("I5: queues {queue}: completed without a time", changed("queues", {"status": "completed"})),
    (
        "I5: queues {queue}: completed while chunks were open",
        lambda case: (
            changed("import_chunks", {"state": "open"})(case),
            changed("queues", {"status": "completed"})(case),
        ),
    ),
    ("I6: there are 2 stages 'stage 1'", twice("stages", name="  STAGE \uff11")),  # the same digit, in full width
    ("I6: no row asks for the stages stage x", twice("stages", name="stage x")),
    ("I9: in_progress is still set", set_queue(in_progress=True)),
    ("I14: objects x.tmp", lambda case: case.objects.add("x.tmp")),
    ("I14: objects {key} are gone", lambda case: case.objects.remove(case.key)),
    ("I14: unfinished uploads of {key}", lambda case: case.uploads.append(case.key)),
    ("I16: row 1: value is '1', not 100.0", set_deal(value="1")),
    ("I16: row 1: account_id is", set_deal(account_id=ObjectId())),
    ("I16: row 1: stage_id is None, not 'stage 1'", set_deal(stage_id=ObjectId())),
    ("I16: row 1 starts no automations", set_deal(automation_starts=None)),
]


async def test_each_kind_of_violation_is_seen(drill: ImportDrill) -> None:
    queue_id = drill.plan.plant(FILE)
    await drill.run_once(IMPORT_CHUNK_ROWS="100")

    case = drill.plan.case(queue_id)
    assert case.error_csv is not None
    assert (len(case.chunks), len(case.deals), len(case.error_csv)) == (3, 290, 11)
    names = {"queue": queue_id, "chunk": case.chunks[1]["_id"], "deal": case.deals[0]["_id"], "key": case.key}
    assert_each_is_seen(case, PLANTS, CHECKS, names)

    _spoil_the_servers(drill, case)
    found = drill.plan.violations_of(queue_id)
    assert [violation.split(":")[0] for violation in found] == ["I2", "I2", "I4", "I4", "I14", "I14"], found


def _spoil_the_servers(drill: ImportDrill, case: ImportCase) -> None:
    db, key = drill.world.db, case.key
    db["deals"].insert_one({**case.deals[0], "_id": ObjectId()})
    for token in (2, 3):
        db["import_chunks"].update_one({}, {"$set": {"token": token, "lease_until": LATER}})
    drill.world.upload(f"{key}.tmp", "x")
    drill.observer.s3.create_multipart_upload(Bucket=drill.environment["S3_BUCKET"], Key=key)
    error_key = case.queue["error_csv_key"]
    drill.world.upload(error_key, drill.world.download(error_key).rpartition(b'\r\n"Deal')[0])
