"""The checker is believed only because it finds each kind of violation when one is planted."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.run_once import run_once
from tests.faults.checker import Case, judge
from tests.faults.drill import Drill
from tests.support.csv_files import csv_file
from tests.support.daemon import SHORT
from tests.support.history import Change

FILE = csv_file(300, bad_every=30)


@pytest.fixture(scope="module")
def spotless(servers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """What one good import left behind."""
    own = f"test_{secrets.token_hex(6)}"
    environment = {
        **servers,
        **SHORT,
        "MONGO_URL": servers["MONGO_URL"].replace("/crm?", f"/{own}?"),
        "REDIS_PREFIX": f"test:{own}:",
        "APP_SECRET": "a secret of thirty-two bytes or more",
        "IMPORT_CHUNK_ROWS": "100",
    }
    with Drill(environment, f"test/{own}/", tmp_path_factory.mktemp("checker")) as drill:
        queue_id = drill.queue(FILE)
        asyncio.run(run_once(settings.from_environment(environment), []))
        yield drill.checker.case(queue_id, FILE)
        drill.world.db.client.drop_database(own)


def test_a_good_import_has_no_violations(spotless: Case) -> None:
    assert judge(spotless) == []
    assert spotless.error_csv is not None
    assert (len(spotless.chunks), len(spotless.deals), len(spotless.error_csv)) == (3, 290, 11)


Plant = Callable[[Case], object]


def set_queue(**changes: Any) -> Plant:
    return lambda case: case.queue.update(changes)


def set_chunk(**changes: Any) -> Plant:
    return lambda case: case.chunks[1].update(changes)


def set_deal(**changes: Any) -> Plant:
    return lambda case: case.deals[0].update(changes)


def twice(documents: str, **changes: Any) -> Plant:
    return lambda case: getattr(case, documents).append({**getattr(case, documents)[0], "_id": ObjectId(), **changes})


def less(documents: str) -> Plant:
    return lambda case: getattr(case, documents).pop()


def changed(collection: str, *steps: dict[str, Any]) -> Plant:
    """Changes on the way, of the import or of its second chunk, that the end does not show."""

    def plant(case: Case) -> None:
        id = case.queue["_id"] if collection == "queues" else case.chunks[1]["_id"]
        case.changes.extend(Change(collection, id, step) for step in steps)

    return plant


NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)
PLANTS: list[tuple[str, Plant]] = [
    ("I1: the import is processing", set_queue(status="processing")),
    ("I1: chunk 1 is open", set_chunk(state="open")),
    ("I1: events are still due", set_queue(events_due=[{"event_id": "x"}])),
    ("I1: CRM events are []", less("events")),
    ("I1: CRM events are [('import.completed', 'new'), (", twice("events")),
    ("I1: socket events are [('import_finished', 'waiting')]", lambda case: case.messages[0].update(state="waiting")),
    ("I1: socket events are [('import_finished', 'delivered'), (", twice("messages")),
    ("I2: {chunk} is still held by somebody", set_chunk(lease_owner="somebody")),
    ("I2: {queue} is still held by None", set_queue(lease_until=LATER)),
    ("I2: {chunk} has the token 0", set_chunk(token=0)),
    ("I2: import_chunks {chunk}: token went from 1 to 3", changed("import_chunks", {"token": 3})),
    ("I2: queues {queue}: token went from 2 to 1", changed("queues", {"token": 2}, {"token": 1})),
    (
        "I2: import_chunks {chunk}: claimed while one held it",
        changed(
            "import_chunks",
            {"token": 2, "lease_until": LATER, "lease_owner": "one"},
            {"token": 3, "lease_until": LATER, "lease_owner": "two"},
        ),
    ),
    (
        "I2: import_chunks {chunk}: became done while nobody held it",
        changed("import_chunks", {"state": "open"}, {"state": "done"}),
    ),
    (
        "I3: import_chunks {chunk}: nobody took it over for 0:59:58",
        changed("import_chunks", {"token": 2, "lease_until": NOW}, {"token": 3, "lease_until": LATER}),
    ),
    ("I4: rows 299 became no deal", less("deals")),
    ("I4: rows 1 are each more than one deal", twice("deals")),
    ("I4: rows 30 should have become no deal", twice("deals", import_row=30)),
    ("I4: deals {deal} belong to no import", set_deal(import_id=ObjectId())),
    ("I4: the error CSV has 9 rows, 10 are in error", less("error_csv")),
    ("I4: there is no error CSV", lambda case: object.__setattr__(case, "error_csv", None)),
    ("I4: the error CSV has the columns ['Deal", lambda case: case.error_csv and case.error_csv[0].pop()),
    ("I4: rows (30, 'nul'), (30, 'ragged') have another", lambda case: case.chunks[0]["errors"][0].update(code="nul")),
    (
        "I4: rows 30 are each more than one error",
        lambda case: case.chunks[0]["errors"].append(case.chunks[0]["errors"][0]),
    ),
    ("I4: rows 30, 60, 90 became no error", lambda case: case.chunks[0]["errors"].clear()),
    ("I4: progress shows {{'added': 1,", lambda case: case.queue["progress"].update(rows_added=1)),
    ("I4: the report shows 290 and 1", lambda case: case.reports[0].update(total_errors=1)),
    ("I4: the event import.completed:{queue}:0 tells", lambda case: case.events[0]["data"].update(added=1)),
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
    ("I6: nobody asked for the stages stage x", twice("stages", name="stage x")),
    ("I9: in_progress is still set", set_queue(in_progress=True)),
    ("I14: objects x.tmp", lambda case: case.objects.add("x.tmp")),
    ("I14: objects {key} are gone", lambda case: case.objects.remove(case.key)),
    ("I14: unfinished uploads of {key}", lambda case: case.uploads.append(case.key)),
    ("I16: row 1: value is '1', not '100'", set_deal(value="1")),
    ("I16: row 1: account_id is", set_deal(account_id=ObjectId())),
    ("I16: row 1: stage_id is None, not 'stage 1'", set_deal(stage_id=ObjectId())),
    ("I16: row 1 starts no automations", set_deal(automation_starts=None)),
]


@pytest.mark.parametrize(("message", "plant"), PLANTS, ids=[message for message, _ in PLANTS])
def test_a_planted_violation_is_seen(spotless: Case, message: str, plant: Plant) -> None:
    spoiled = deepcopy(spotless)
    plant(spoiled)
    names = {"queue": spotless.queue["_id"], "chunk": spotless.chunks[1]["_id"]}
    expected = message.format(**names, deal=spotless.deals[0]["_id"], key=spotless.key)
    found = judge(spoiled)
    assert any(violation.startswith(expected) for violation in found), found


async def test_violations_in_the_servers_are_read(drill: Drill) -> None:
    queue_id = drill.queue(FILE)
    await run_once(settings.from_environment(drill.environment), [])
    drill.check(queue_id)
    db, key = drill.world.db, drill.world.import_of(queue_id)["csv"][0]["key"]

    deal = db["deals"].find_one({"import_row": 1})
    assert deal is not None
    db["deals"].insert_one({**deal, "_id": ObjectId()})
    for token in (2, 3):
        db["import_chunks"].update_one({}, {"$set": {"token": token, "lease_until": LATER}})
    drill.world.upload(f"{key}.tmp", "x")
    drill.checker.s3.create_multipart_upload(Bucket=drill.environment["S3_BUCKET"], Key=key)
    error_key = drill.world.import_of(queue_id)["error_csv_key"]
    drill.world.upload(error_key, drill.world.download(error_key).rpartition(b'\r\n"Deal')[0])

    found = drill.checker.violations(queue_id, FILE)
    assert [violation.split(":")[0] for violation in found] == ["I2", "I2", "I4", "I4", "I14", "I14"], found
