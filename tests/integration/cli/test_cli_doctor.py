"""`doctor` and `indexes` through the real door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet

from pipeline_engine.embedded.redis import Redis
from tests.support.command_line import CommandLine, Ran
from tests.support.world import World

LEVELS = ("ok", "warning", "fails")


def findings(ran: Ran) -> dict[str, tuple[str, str]]:
    """{subject: (level, text)}; a subject is at most two words, and the text stands after two blanks or more."""
    found = {}
    for line in ran.stdout.splitlines():
        level, rest = line.split(None, 1)
        assert level in LEVELS
        found[rest[:14].strip()] = (level, rest[14:])
    return found


def test_a_fresh_deployment_is_fine_and_the_indexes_make_it_finer(world: World, engine: CommandLine) -> None:
    world.db.drop_collection("queues")
    fresh = engine("doctor")

    assert fresh.returncode == 1, fresh.stdout
    found = findings(fresh)
    assert found["indexes"][0] == "fails"
    assert "missing: queues." in found.pop("indexes")[1]
    assert found.pop("daemons")[0] == "warning"
    assert found.pop("credentials") == (
        "warning",
        "refreshed tokens are stored as plain text: set CREDENTIALS_KEYS",
    )
    assert "PUBLIC_URL is not set: mails go out without List-Unsubscribe" in fresh.stdout
    level, text = found.pop("mail")  # of a domain that no DNS knows
    assert (level, text.partition(":")[0]) == ("warning", "sink.invalid")
    assert {subject: one for subject, one in found.items() if one[0] != "ok"} == {}
    assert found["MongoDB"][1].endswith(", change streams")
    assert f"database {engine.environment['MONGO_URL'].rsplit('/', 1)[1].split('?')[0]}" in found["MongoDB"][1]
    assert found["sockets"][1].endswith("lets the engine in")
    assert set(found) >= {"settings", "APP_SECRET", "clock", "Redis", "S3", "lanes", "stuck work", "dead letters"}

    created = engine("indexes")
    assert created.returncode == 0
    assert "account_id_1_pipeline_id_1_name_key_1" in created.stdout
    assert engine("indexes").stdout == created.stdout
    assert findings(engine("doctor"))["indexes"] == ("ok", "all there")


def test_each_server_that_is_away_is_one_line_and_the_others_are_still_checked(engine: CommandLine) -> None:
    nowhere = "127.0.0.1:1"

    away = findings(
        engine("doctor", MONGO_URL=f"mongodb://root:hunter2@{nowhere}/crm", S3_ENDPOINT_URL=f"http://{nowhere}")
    )
    assert [subject for subject, (level, _) in away.items() if level == "fails"] == ["MongoDB", "S3"]
    assert away["Redis"][0] == "ok"
    assert "hunter2" not in str(away)
    refused = f"does not answer within 5 s: {nowhere}: [Errno 111] Connection refused"
    assert away["MongoDB"][1] == f"MongoDB at MONGO_URL {refused}: start it or correct MONGO_URL"
    assert away["S3"][1].startswith("S3 did not answer in full: EndpointConnectionError: ")
    assert away["S3"][1].endswith(": start it or correct S3_ENDPOINT_URL")

    others = engine("doctor", REDIS_URL=f"redis://{nowhere}", SOCKET_URL=f"http://{nowhere}")
    assert others.returncode == 1
    found = findings(others)
    assert [subject for subject, (level, _) in found.items() if level == "fails"] == ["Redis", "sockets"]
    assert found["MongoDB"][0] == "ok"
    assert found["Redis"][1].startswith(
        f"Redis at REDIS_URL does not answer within 5 s: Error 111 connecting to {nowhere}"
    )
    assert found["Redis"][1].endswith(": start it or correct REDIS_URL")
    assert found["sockets"][1].startswith("the service at SOCKET_URL does not let the engine in: ")
    assert found["sockets"][1].endswith(": start it or correct SOCKET_URL, SOCKET_PATH or APP_SECRET")


def test_a_mongodb_with_several_hosts_fails_in_one_plain_line(engine: CommandLine) -> None:
    hosts = "127.0.0.1:1,127.0.0.1:2"

    ran = engine("doctor", MONGO_URL=f"mongodb://{hosts}/crm?replicaSet=rs0")

    (failing,) = [line for line in ran.stdout.splitlines() if line.startswith("fails")]
    reasons = failing.partition(" within 5 s: ")[2].removesuffix(": start it or correct MONGO_URL")
    assert sorted(reasons.split(",")) == [f"{host}: [Errno 111] Connection refused" for host in hosts.split(",")]


def test_a_bucket_that_is_not_there_or_not_ours_fails(engine: CommandLine) -> None:
    assert findings(engine("doctor", S3_BUCKET="unclaimed"))["S3"][0] == "fails"
    assert findings(engine("doctor", S3_SECRET_ACCESS_KEY="wrong"))["S3"][0] == "fails"


def test_settings_that_are_wrong_alone_or_together_are_named(engine: CommandLine) -> None:
    ran = engine("doctor", APP_SECRET="too short", HTTP_PORT="0")
    assert ran.returncode == 1
    assert ran.stdout.splitlines() == [
        "fails   settings      APP_SECRET: given (not shown): needs at least 32 bytes",
        "fails   settings      HTTP_PORT: given '0': Input should be greater than or equal to 1",
    ]

    assert findings(engine("doctor", APP_SECRET=""))["APP_SECRET"][0] == "fails"
    without_sockets = engine("doctor", APP_SECRET="", SOCKET_URL="")
    assert without_sockets.returncode == 0
    assert findings(without_sockets)["APP_SECRET"][0] == "warning"


@pytest.mark.covers("DA-27")
def test_stuck_work_paused_lanes_and_dead_letters_are_shown(engine: CommandLine, world: World) -> None:
    now = datetime.now(UTC)
    import_id = world.queue("x.csv", status="processing", in_progress=True, started_at=now - timedelta(minutes=61))
    world.queue("y.csv", status="processing", in_progress=True, started_at=now - timedelta(minutes=59))
    minute = timedelta(minutes=1)
    world.queue("z.csv", status="processing", started_at=now, lease_owner="host:1:aa", lease_until=now - minute)
    alive = {"lease_owner": "host:2:bb", "lease_until": now + minute}
    chunk = {"account_id": world.account, "state": "open", **alive, "updatedAt": now - timedelta(hours=2)}
    world.db["import_chunks"].insert_one({"_id": "a chunk", "queue_id": import_id, **chunk})
    automation = world.automation("note", is_running=True, **alive, updatedAt=now - timedelta(minutes=61))
    world.automation("note", is_running=True, **alive, updatedAt=now - timedelta(minutes=59))
    world.db["dead_letters"].insert_many(
        [{"_id": ObjectId(), "status": "dead"}, {"_id": ObjectId(), "status": "retried"}]
    )
    engine("queues", "pause", "events.outbox")

    ran = engine("doctor")

    assert ran.returncode == 0
    stuck = [line.split("stuck work", 1)[1].strip() for line in ran.stdout.splitlines() if "stuck work" in line]
    assert f"1 imports that run for over an hour in queues: {import_id}" in stuck
    assert "1 chunks held for over an hour in import_chunks: a chunk" in stuck
    assert f"1 automations that got nothing done for an hour in automations: {automation}" in stuck
    (overdue,) = [line for line in stuck if "leases that ended" in line]
    assert overdue.startswith("1 leases that ended and that no daemon took over in queues: ")
    assert len(stuck) == 4
    found = findings(ran)
    assert found["lanes"] == ("warning", "paused: events.outbox; `queues resume LANE` lets one go on")
    assert found["dead letters"] == ("warning", "1 to be retried or discarded: see `dlq`")


def test_keys_and_key_files_are_checked_and_not_shown(engine: CommandLine, tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    assert findings(engine("doctor", CREDENTIALS_KEYS=key))["credentials"][0] == "ok"
    bad = engine("doctor", CREDENTIALS_KEYS=f"{key},nonsense")
    assert "CREDENTIALS_KEYS: given (not shown)" in bad.stdout
    assert key not in bad.stdout + bad.stderr
    missing = engine("doctor", GOOGLE_SERVICE_ACCOUNT_FILE=str(tmp_path / "none.json"))
    assert (bad.returncode, missing.returncode) == (1, 1)
    assert "GOOGLE_SERVICE_ACCOUNT_FILE" in missing.stdout


def test_a_redis_that_drops_keys_when_full_is_a_warning(engine: CommandLine, own_redis: Redis) -> None:
    from redis import Redis as Client

    url = own_redis.environment()["REDIS_URL"]
    with Client.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert findings(engine("doctor", REDIS_URL=url))["Redis"][0] == "ok"
        client.config_set("maxmemory", "100mb")

    assert findings(engine("doctor", REDIS_URL=url))["Redis"][0] == "warning"
