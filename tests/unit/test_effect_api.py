from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.errors import EngineError, Permanent, RateLimited, SenderRefused, Transient, Unknown
from pipeline_engine.providers.effect_api import (
    DEFAULT_RETRY_SECONDS,
    MAX_RETRY_SECONDS,
    CallRefused,
    read_answer,
    retry_after,
)
from pipeline_engine.providers.replies import MAX_QUOTED_CHARS
from pipeline_engine.providers.sms import meaning

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_success_gives_its_object(status: int) -> None:
    assert read_answer("api", status, {}, b'{"id": "7"}') == {"id": "7"}


@pytest.mark.parametrize("body", [b"", b"ok", b"[1]", b'{"id": ', b"\xff\xfe", b"[" * 60_000])
def test_a_success_without_an_object_is_a_success(body: bytes) -> None:
    assert read_answer("api", 201, {}, body) == {}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, Permanent),
        (400, Permanent),
        (401, Permanent),
        (404, Permanent),
        (408, Transient),
        (409, Transient),
        (422, Permanent),
        (500, Unknown),
        (502, Unknown),
        (503, Unknown),
        (504, Unknown),
    ],
)
def test_what_a_status_means(status: int, error: type[EngineError]) -> None:
    with pytest.raises(error, match=rf"api .*{status}"):
        read_answer("api", status, {}, b"")


@pytest.mark.parametrize(
    "body", [{"message": "bad number"}, {"error": {"message": "bad number"}}, {"error": "bad number"}]
)
def test_the_other_side_is_quoted(body: dict[str, object]) -> None:
    with pytest.raises(Permanent, match=r"^api refuses: 400 bad number$"):
        read_answer("api", 400, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "reason", "error", "code"),
    [
        (401, 20003, SenderRefused, "http_401"),
        (401, None, SenderRefused, "http_401"),
        (403, 20005, SenderRefused, "http_403"),
        (403, 21408, CallRefused, "http_403"),
        (400, 21211, CallRefused, "http_400"),
        (400, 21610, Permanent, "opted_out"),
    ],
)
def test_what_a_refusal_of_twilio_means(status: int, reason: int | None, error: type[Permanent], code: str) -> None:
    with pytest.raises(CallRefused) as refused:
        read_answer("twilio", status, {}, json.dumps({"code": reason, "message": "no"}).encode())
    found = meaning(refused.value)
    assert (type(found), found.code, str(found)) == (error, code, f"twilio refuses: {status} no")


def test_but_not_at_length() -> None:
    with pytest.raises(Permanent) as refused:
        read_answer("api", 400, {}, b"x" * 60_000)
    assert len(str(refused.value)) < MAX_QUOTED_CHARS + 50


def test_too_many_calls_say_when_to_come_back() -> None:
    with pytest.raises(RateLimited) as limited:
        read_answer("api", 429, {"Retry-After": "17"}, b"")
    assert limited.value.retry_after == 17


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("1000000000", MAX_RETRY_SECONDS),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        (None, DEFAULT_RETRY_SECONDS),
        ("", DEFAULT_RETRY_SECONDS),
        ("soon", DEFAULT_RETRY_SECONDS),
        ("-5", DEFAULT_RETRY_SECONDS),
        ("nan", DEFAULT_RETRY_SECONDS),
        ("1e9", DEFAULT_RETRY_SECONDS),
        ("Thu, 01 Jan 2026 12:00:30", DEFAULT_RETRY_SECONDS),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.text())
def test_retry_after_is_always_a_sane_pause(header: str) -> None:
    assert 0 <= retry_after(header, NOW) <= MAX_RETRY_SECONDS
