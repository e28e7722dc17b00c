"""Secrets and addresses never come out in a log line, however they get into one."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine import logs
from tests.unit.conftest import Style, Written

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1aWQiOiIxIn0.8ArHoWeQgmxZ5yq8z0lXS67QGs52AzC8Ru8"


# Single texts


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("mongodb://user:hunter2@host:27017/crm", "mongodb://***@host:27017/crm"),
        ("mongodb://user:p@ss@host/crm", "mongodb://***@host/crm"),
        ("redis://:hunter2@host", "redis://***@host"),
        ("two: amqp://a:b@x smtp://c:d@y", "two: amqp://***@x smtp://***@y"),
        ("http://host:80/path?x=1", "http://host:80/path?x=1"),
        (f"token {JWT} end", "token *** end"),
        (JWT[:30], "***"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer ***"),
        ("authorization: Basic dXNlcjpodW50ZXIy", "authorization: Basic ***"),
        ("GET /x?page=2&access_token=hunter2&y=3", "GET /x?page=2&access_token=***&y=3"),
        ("/crm/a.csv?X-Amz-Signature=0a1b2c", "/crm/a.csv?X-Amz-Signature=***"),
        ("{'password': 'correct horse', 'user': 'x'}", "{'password': ***, 'user': 'x'}"),
        ('{"api_key":"k-1","n":1}', '{"api_key":***,"n":1}'),
        ("aws_secret_access_key=abc/def", "aws_secret_access_key=***"),
        ("550 bob.smith+crm@example.com unknown", "550 ***@example.com unknown"),
        ("cannot reach +1 (555) 010-9999 now", "cannot reach *** now"),
        ("2026-11-22T10:00:00+00:00 done 3 of 4", "2026-11-22T10:00:00+00:00 done 3 of 4"),
        ("APP_SECRET: given (not shown): needs 32 bytes", "APP_SECRET: given (not shown): needs 32 bytes"),
        ("5f43a1b2c3d4e5f6a7b8c9d0 imported", "5f43a1b2c3d4e5f6a7b8c9d0 imported"),
    ],
)
def test_secrets_and_addresses_are_taken_out_and_the_rest_stays(text: str, cleaned: str) -> None:
    assert logs.clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nINFO forged line", r"a\r\nINFO forged line"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("nul\x00del\x7fc1\x9b", r"nul\x00del\x7fc1\x9b"),
        ("turned\u202eround\u2028line", r"turned\u202eround\u2028line"),
        ("tab\tstays, ü too", "tab\tstays, ü too"),
    ],
)
def test_control_characters_are_spelled_out(text: str, cleaned: str) -> None:
    assert logs.clean(text) == cleaned


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    cleaned = logs.clean("begin" + "x" * 100_000 + "end")
    assert len(cleaned) <= 2060
    assert cleaned.startswith("beginx")
    assert cleaned.endswith("xend")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "a." * 500_000,
        "://" * 300_000,
        "eyJ" * 300_000,
        "token" * 200_000,
        "bearer " * 150_000,
        "password='" * 100_000,
        "+1 " * 300_000,
        "a@" * 500_000,
        "\x1b" * 1_000_000,
    ],
    ids=lambda text: text[:10],
)
def test_hostile_megabytes_do_not_hold_the_loop_up(text: str) -> None:
    started = time.process_time()
    logs.clean(text)
    assert time.process_time() - started < 0.3


@given(st.text())
def test_whatever_comes_becomes_one_short_line(text: str) -> None:
    cleaned = logs.clean(text)
    assert len(cleaned) <= 2060
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", cleaned)
    assert len(cleaned.splitlines()) <= 1


# Canaries: twenty secrets, every way into the log, both styles


def canaries() -> dict[str, str]:
    return {name: f"canary{number:02}x9f" for number, name in enumerate(CANARY_NAMES)}


CANARY_NAMES = (
    *("password", "db_passwd", "secret", "APP_SECRET", "token", "refresh_token", "Authorization", "api_key", "apikey"),
    *("X-Api-Key", "credentials", "cookie", "Set-Cookie", "private_key", "signature", "smtp_password"),
    *("s3_secret_access_key", "accessKey", "passphrase", "twilio_auth_token"),
)


class Opaque:
    """A foreign object that shows all in its repr."""

    def __init__(self, content: dict[str, str]) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"Opaque({self.content})"


def _by_key(planted: dict[str, str]) -> None:
    logs.get("engine").info("x", **planted)


def _bound(planted: dict[str, str]) -> None:
    structlog.contextvars.bind_contextvars(**planted)
    logs.get("engine").bind(**planted).info("x")


def _nested(planted: dict[str, str]) -> None:
    logs.get("engine").info("x", request={"headers": [planted], "more": ({"inner": planted},)})


def _under_one_name(planted: dict[str, str]) -> None:
    logs.get("engine").info("x", tokens=list(planted.values()), secrets=planted)


def _opaque(planted: dict[str, str]) -> None:
    logs.get("engine").info("x", thing=Opaque(planted), raw=json.dumps(planted).encode())


def _in_urls(planted: dict[str, str]) -> None:
    for value in planted.values():
        logs.get("engine").info(f"mongodb://u:{value}@h", url=f"redis://:{value}@h/0", query=f"/x?token={value}")


def _in_headers(planted: dict[str, str]) -> None:
    for value in planted.values():
        logs.get("engine").info("x", line=f"Authorization: Bearer {value}", signed=f"eyJ{value}.{value}.{value}")


def _in_exceptions(planted: dict[str, str]) -> None:
    for value in planted.values():
        try:
            raise ConnectionError(f"smtp://user:{value}@mail refused {{'password': '{value}'}}")
        except ConnectionError as error:
            logs.get("engine").exception("failed", error=error)
            logging.getLogger("library").exception("failed")


def _by_the_standard_library(planted: dict[str, str]) -> None:
    logger = logging.getLogger("library")
    for value in planted.values():
        logger.warning("cannot connect to %s", f"mongodb://u:{value}@h")
        logger.warning("args: %r", {"api_key": value})
        logger.warning("eyJ%s.%s.%s", value, value, value)
    logger.warning("all: %s", Opaque(planted))


def _by_addresses(planted: dict[str, str]) -> None:
    for value in planted.values():
        logs.get("engine").info(f"mail to {value}@example.com failed", reason=f"<{value}@example.com>: 550")


@pytest.mark.parametrize(
    "write",
    [
        _by_key,
        _bound,
        _nested,
        _under_one_name,
        _opaque,
        _in_urls,
        _in_headers,
        _in_exceptions,
        _by_the_standard_library,
        _by_addresses,
    ],
)
def test_no_planted_secret_comes_out(write: Callable[[dict[str, str]], None], style: Style, written: Written) -> None:
    logs.configure("DEBUG", style)
    planted = canaries()
    assert len(planted) == 20
    write(planted)
    output = written()
    assert output.strip()
    assert [name for name, value in planted.items() if value in output] == []
    assert "\x1b" not in output
