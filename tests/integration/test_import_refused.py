"""Imports that cannot be done: tried as often as may help, then failed with the reason, and never looked at again."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import pytest
from bson import ObjectId

from tests.integration.conftest import RunImports
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World

RETRY_SECONDS = 0.1
KEYLESS: dict[str, dict[str, Any]] = {
    "empty array": {"csv": []},
    "null": {"csv": None},
    "no key": {"csv": [{"name": "test-import.csv"}]},
    "null key": {"csv": [{"key": None}]},
    "not an array": {"csv": "imports/deals/test-import.csv"},
}
UNREADABLE = {
    "gzip": gzip.compress(SAMPLE.encode()),
    "utf-32": SAMPLE.encode("utf-32"),
    "binary": bytes(range(32)) * 100,
    "workbook": b"PK\x03\x04" + SAMPLE.encode(),
}


async def assert_failed_after_three_attempts(world: World, run_imports: RunImports, queue_id: ObjectId) -> str:
    """Returns the reason."""
    result = await run_imports(import_retry_seconds=RETRY_SECONDS)

    assert (result.units, result.succeeded, result.failed) == (1, 0, 1)
    assert result.seconds >= 2 * RETRY_SECONDS
    failed = world.import_of(queue_id)
    assert (failed["status"], failed["in_progress"], failed["attempts"]) == ("failed", False, 3)
    assert failed["lease_until"] is None
    report = world.report_of(queue_id)
    assert (report["total_records_added"], report["total_errors"], report["logs"]) == (0, 0, [])
    assert report["error"] == failed["error"]

    again = await run_imports(import_retry_seconds=RETRY_SECONDS)

    assert (again.units, again.jobs) == (0, 0)
    assert world.import_of(queue_id) == failed
    return str(failed["error"])


@pytest.mark.covers("DI-06", "DI-X2", "DI-X11")
@pytest.mark.parametrize("changes", KEYLESS.values(), ids=KEYLESS)
async def test_an_import_without_a_key_fails_after_three_attempts(
    world: World, run_imports: RunImports, changes: dict[str, Any]
) -> None:
    queue_id = world.queue("unused.csv", **changes)

    reason = await assert_failed_after_three_attempts(world, run_imports, queue_id)

    assert reason == f"Key is missing. Queue id: {queue_id}"


@pytest.mark.covers("DI-07", "DI-X2")
async def test_an_import_without_its_file_fails_after_three_attempts(world: World, run_imports: RunImports) -> None:
    queue_id = world.queue("imports/gone.csv")

    reason = await assert_failed_after_three_attempts(world, run_imports, queue_id)

    assert "imports/gone.csv" in reason


@pytest.mark.covers("DI-08", "DI-X2")
@pytest.mark.parametrize("file", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_file_that_is_no_text_fails_after_three_attempts(
    world: World, run_imports: RunImports, file: bytes
) -> None:
    queue_id = world.submit(file)

    reason = await assert_failed_after_three_attempts(world, run_imports, queue_id)

    assert "CSV" in reason


@pytest.mark.covers("DI-07")
async def test_a_file_that_arrives_late_is_imported_by_a_later_attempt(world: World, run_imports: RunImports) -> None:
    key = f"imports/{world.account}/late.csv"
    queue_id = world.queue(key)
    await run_imports(import_attempts=1)
    world.upload(key, SAMPLE)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "pending"}})

    await run_imports()

    ended = world.import_of(queue_id)
    assert (ended["status"], ended["error"]) == ("completed", None)


NAME = {"Deal Name": "name"}
HOPELESS: dict[str, tuple[str, Mapping[str, Any] | None, dict[str, Any], list[str]]] = {
    # file, mappings, changes of the queue document, words of the reason
    "two columns to one field": (
        SAMPLE,
        {"Deal Name": "name", "Contact Name": "name"},
        {},
        ["'Deal Name', 'Contact Name'", "'name'"],
    ),
    "a target that no file may set": (SAMPLE, NAME | {"Value": "account_id"}, {}, ["'Value'", "'account_id'"]),
    "an operator as target": (SAMPLE, NAME | {"Value": "$where"}, {}, ["'Value'", "'$where'"]),
    "a dotted target": (SAMPLE, NAME | {"Value": "additional_info.x"}, {}, ["'additional_info.x'"]),
    "an upper-case id as target": (SAMPLE, NAME | {"Value": "AB" * 12}, {}, ["AB" * 12]),
    "the same column twice": ("Name,Value,Name\na,1,b\n", {"Name": "name"}, {}, ["'Name'", "several columns"]),
    "a needed column that is not there": (SAMPLE, {"Title": "name"}, {}, ["'Title'"]),
    "no mappings": (SAMPLE, {}, {}, ["mappings are empty"]),
    "an empty file": ("", None, {}, ["empty"]),
    "blank lines only": ("\n\r\n\n", None, {}, ["empty"]),
    "no additional_data": (SAMPLE, None, {"additional_data": None}, ["additional_data"]),
    "tags that are no list": (SAMPLE, None, {"options": {"tags": "vip"}}, ["tags", "'vip'"]),
    "a malformed pipeline": (SAMPLE, None, {"options": {"pipeline_id": "sales"}}, ["pipeline_id", "'sales'"]),
    "a malformed user": (SAMPLE, None, {"user_id": 7}, ["user_id", "7"]),
    "an unknown delimiter": (SAMPLE, None, {"options": {"delimiter": "x"}}, ["delimiter 'x'"]),
    "an unknown encoding": (SAMPLE, None, {"options": {"encoding": "klingon"}}, ["'klingon'"]),
}


@pytest.mark.covers("DI-22", "DI-X12")
@pytest.mark.parametrize(("file", "mappings", "changes", "words"), HOPELESS.values(), ids=HOPELESS)
async def test_what_only_a_person_can_change_fails_at_once(
    world: World,
    run_imports: RunImports,
    file: str,
    mappings: Mapping[str, str] | None,
    changes: dict[str, Any],
    words: list[str],
) -> None:
    queue_id = world.submit(file, SAMPLE_MAPPINGS if mappings is None else mappings, **changes)

    result = await run_imports()

    failed = world.import_of(queue_id)
    assert (failed["status"], failed["in_progress"], failed["attempts"]) == ("failed", False, 1)
    assert all(word in failed["error"] for word in words), failed["error"]
    assert result.failed == 1
    assert world.report_of(queue_id)["error"] == failed["error"]
    assert world.deals_of(queue_id) == []


@pytest.mark.parametrize("account_id", [None, "acme", 7, ObjectId().binary], ids=["none", "name", "number", "bytes"])
async def test_an_import_without_a_user_fails_at_once(
    world: World, run_imports: RunImports, account_id: object
) -> None:
    queue_id = world.submit(SAMPLE, account_id=account_id)

    await run_imports()

    failed = world.import_of(queue_id)
    assert (failed["status"], failed["in_progress"], failed["attempts"]) == ("failed", False, 1)
    assert "account_id" in failed["error"]
    assert list(world.db["deals"].find()) == []


@pytest.mark.covers("DI-X11")
async def test_the_ids_of_a_white_label_may_be_null_or_absent(world: World, run_imports: RunImports) -> None:
    nulls = world.submit(SAMPLE, parent_account=None, client_id=None)
    absent = world.submit(SAMPLE)
    world.db["queues"].update_one({"_id": absent}, {"$unset": {"parent_account": "", "client_id": ""}})

    result = await run_imports()

    assert result.succeeded == 2
    assert [len(world.deals_of(queue_id)) for queue_id in (nulls, absent)] == [3, 3]


KEYS = [
    "../../other/x.csv",
    "imports/%2e%2e/x.csv",
    "/imports/x.csv",
    "imports//x.csv",
    "imports/x\r\n.csv",
    "imports/",
    "i" * 1025,
]


@pytest.mark.parametrize("key", KEYS)
async def test_a_key_that_may_point_elsewhere_is_refused(world: World, run_imports: RunImports, key: str) -> None:
    queue_id = world.queue(key)

    await run_imports()

    failed = world.import_of(queue_id)
    assert (failed["status"], failed["attempts"]) == ("failed", 1)
    assert failed["error"].startswith("the key of the file")
    assert len(failed["error"]) < 300


async def test_only_keys_under_the_operators_prefix_are_read(world: World, run_imports: RunImports) -> None:
    neighbour = world.neighbour()
    own = world.submit(SAMPLE)
    foreign = world.queue(neighbour.upload(f"imports/{neighbour.account}/secret.csv", SAMPLE))

    await run_imports(import_key_prefix="imports/{account_id}/")

    assert world.import_of(own)["status"] == "completed"
    assert world.import_of(foreign)["status"] == "failed"
    assert f"imports/{world.account}/" in world.import_of(foreign)["error"]
    neighbour.close()


async def test_a_file_over_the_limit_is_not_begun(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(SAMPLE)

    await run_imports(import_max_bytes=len(SAMPLE) - 1)

    failed = world.import_of(queue_id)
    assert (failed["status"], failed["attempts"]) == ("failed", 1)
    assert str(len(SAMPLE)) in failed["error"]
    assert world.deals_of(queue_id) == []


async def test_rows_over_the_limit_fail_the_import_and_those_before_stay(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit("name\n" + "Deal\n" * 30, {"name": "name"})

    await run_imports(import_max_rows=25, import_chunk_rows=10)

    failed = world.import_of(queue_id)
    assert failed["status"] == "failed"
    assert "more than 25 rows" in failed["error"]
    assert "up to row 20" in failed["error"]
    assert len(world.deals_of(queue_id)) == 20
    assert world.report_of(queue_id)["total_records_added"] == 20
