"""What the embedded servers decide before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pipeline_engine.embedded import mongo, redis, s3
from pipeline_engine.embedded.locate import Need, locate
from pipeline_engine.embedded.mongo import reconfigured
from pipeline_engine.embedded.orders import Orders, Ready, read_answer, read_orders, to_line
from pipeline_engine.embedded.parts import PARTS
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.embedded.program import error_lines, exit_reason
from pipeline_engine.errors import ConfigError, EngineError, Unreachable

MISSING = Need("Oracle", ("delphi", "pythia"), ("no-such-wheel-exists",), "ORACLE_URL")


def program(folder: Path, name: str, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_ports_differ_and_are_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_twins_are_free_too() -> None:
    for port in free_ports(5, offset=10_000):
        with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 10_000)):
            pass


@pytest.mark.parametrize("need", [mongo.NEED, redis.NEED, s3.NEED])
def test_the_wheels_carry_the_programs(need: Need) -> None:
    assert locate(need, search_path="/nowhere").name == need.programs[0]


def test_a_program_on_path_will_do_best_name_first(tmp_path: Path) -> None:
    second = program(tmp_path, "pythia")
    assert locate(MISSING, str(tmp_path)) == second
    first = program(tmp_path, "delphi")
    assert locate(MISSING, str(tmp_path)) == first


def test_a_file_that_cannot_be_run_is_no_program(tmp_path: Path) -> None:
    program(tmp_path, "delphi", mode=0o644)
    with pytest.raises(ConfigError, match=r"Oracle: no delphi found.*put delphi or pythia on PATH, or set ORACLE_URL"):
        locate(MISSING, str(tmp_path))


@pytest.mark.parametrize(
    ("part", "environment", "given"),
    [
        ("mongo", {}, {}),
        ("mongo", {"MONGO_URL": ""}, {}),
        ("mongo", {"MONGO_URL": "mongodb://a"}, {"MONGO_URL": "mongodb://a"}),
        ("redis", {"REDIS_PASSWORD": "p"}, {}),
        ("redis", {"REDIS_HOST": "a", "REDIS_PORT": "1"}, {"REDIS_HOST": "a", "REDIS_PORT": "1"}),
        ("s3", {"S3_BUCKET": "b"}, {}),
        ("s3", {"S3_BUCKET": "b", "S3_ENDPOINT_URL": "u"}, {"S3_ENDPOINT_URL": "u", "S3_BUCKET": "b"}),
    ],
)
def test_a_part_is_given_by_its_address(part: str, environment: dict[str, str], given: dict[str, str]) -> None:
    assert PARTS[part].given(environment) == given


def test_a_replica_set_moves_to_its_new_port() -> None:
    config = {"_id": "rs0", "version": 3, "term": 9, "members": [{"_id": 0, "host": "127.0.0.1:1", "priority": 1}]}
    assert reconfigured(config, "127.0.0.1:1") is None
    assert reconfigured(config, "127.0.0.1:2") == {
        "_id": "rs0",
        "version": 4,
        "term": 9,
        "members": [{"_id": 0, "host": "127.0.0.1:2", "priority": 1}],
    }


def test_orders_and_answers_survive_the_pipe() -> None:
    orders = Orders(parts=["mongo"], given={"MONGO_URL": "mongodb://ü\n"}, folder="/a")
    assert to_line(orders).count(b"\n") == 1
    assert read_orders(to_line(orders)) == orders
    ready = Ready("/a", {"REDIS_URL": "redis://b"})
    assert read_answer(to_line(ready)) == ready


@pytest.mark.parametrize("error", [ConfigError("no mongod"), Unreachable("too slow")])
def test_an_error_comes_out_of_the_pipe_as_it_went_in(error: EngineError) -> None:
    with pytest.raises(type(error), match=str(error)):
        read_answer(to_line(error))


def test_a_keeper_that_says_nothing_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="stderr says why"):
        read_answer(b"")


def test_an_ending_in_words() -> None:
    assert (exit_reason(3), exit_reason(-4)) == ("exit code 3", "SIGILL")


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("one\ntwo\nthree\n", "two | three"),
        ("Failed to bind\none\ntwo\n", "Failed to bind"),
        ('{"s":"E","m":1}\n{"s":"F","m":2}\n{"s":"F","m":3}\n{"s":"I"}', '{"s":"F","m":2} | {"s":"F","m":3}'),
    ],
)
def test_the_telling_lines_of_a_log(log: str, said: str) -> None:
    assert error_lines(log, max_lines=2) == said
