"""What the command line reckons without any server."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.cli.arguments import read_duration, read_id
from pipeline_engine.cli.demo.sample_crm import HEADER, ROWS, WRONG_EVERY, sample_deals
from pipeline_engine.cli.doctor import mongo, services
from pipeline_engine.cli.doctor.finding import Level
from pipeline_engine.cli.import_progress import rows_done, seconds_taken
from pipeline_engine.cli.import_submit import read_mappings
from pipeline_engine.domain.imports.finish import rows_in_all
from pipeline_engine.domain.imports.submit import file_key
from pipeline_engine.errors import ConfigError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800), (" 1h ", 3600), ("0s", 0)]
)
def test_a_duration(text: str, seconds: int) -> None:
    assert read_duration(text, "--older-than").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1 week", "1h30m", "٣h", "9999999d"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--older-than: given .*: a number and a unit"):
        read_duration(text, "--older-than")


def test_ids_in_either_case() -> None:
    assert read_id(" 507F1F77BCF86CD799439011 ") == ObjectId("507f1f77bcf86cd799439011")
    for text in ("", "507f1f77bcf86cd79943901", "507f1f77bcf86cd79943901g", "abcdefghijkl"):
        with pytest.raises(ConfigError, match=r"^--user: given .*: an id has 24 hex digits$"):
            read_id(text, "--user")


def test_a_column_may_hold_an_equals_sign() -> None:
    assert read_mappings(["Deal Name=name", "a=b=value"]) == {"Deal Name": "name", "a=b": "value"}


def test_progress_is_reckoned_from_bytes_until_the_file_is_read() -> None:
    half = {"bytes_read": 500, "bytes_total": 1000, "rows_read": 40, "rows_added": 20, "rows_failed": 1}
    assert (rows_done(half), rows_in_all(half)) == (21, 80)
    whole = {**half, "bytes_read": 1000, "rows_read": 83}
    assert rows_in_all(whole) == 83
    assert (rows_done({}), rows_in_all({})) == (0, None)


def test_an_import_that_never_started_took_no_time() -> None:
    assert seconds_taken({"completed_at": NOON}) == 0
    assert seconds_taken({"started_at": NOON, "completed_at": NOON + timedelta(seconds=90)}) == 90


@pytest.mark.parametrize(
    ("before", "server", "after", "skew"),
    [(0, 1, 2, 0), (0, 0, 0, 0), (10, 4, 11, 6), (10, 20, 11, -9)],
)
def test_a_slow_answer_is_no_skew(before: int, server: int, after: int, skew: float) -> None:
    moments = (NOON + timedelta(seconds=seconds) for seconds in (before, server, after))

    assert mongo.clock_skew(*moments) == skew


@pytest.mark.parametrize(
    ("policy", "most", "level"),
    [
        ("noeviction", 0, Level.OK),
        ("noeviction", 100, Level.OK),
        ("allkeys-lru", 0, Level.OK),
        ("allkeys-lru", 100, Level.WARNING),
        ("volatile-ttl", 100, Level.WARNING),
    ],
)
def test_a_redis_that_may_drop_keys(policy: str, most: int, level: Level) -> None:
    info = {"redis_version": "7.0.0", "maxmemory_policy": policy, "maxmemory": most}

    assert services.eviction(info).level is level


def test_where_a_submitted_file_goes() -> None:
    account, queue = ObjectId("a" * 24), ObjectId("b" * 24)

    assert file_key(None, account, queue) == f"imports/{account}/{queue}.csv"
    assert file_key("crm/{account_id}/in/", account, queue) == f"crm/{account}/in/{queue}.csv"
    assert file_key("all-", account, queue) == f"all-{queue}.csv"


def test_the_sample_is_the_same_every_time_and_has_a_few_wrong_rows() -> None:
    assert sample_deals() == sample_deals()
    header, *rows = csv.reader(io.StringIO(sample_deals(), newline=""))

    assert tuple(header) == HEADER
    wrong = [n for n, row in enumerate(rows, 1) if len(row) != len(HEADER) or not row[0] or not row[2]]
    assert wrong == list(range(WRONG_EVERY, ROWS + 1, WRONG_EVERY))
