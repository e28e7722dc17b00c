"""The body of `POST /api/v1/events`, without servers: what is refused, and with which status."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.admin.access import Refusal
from pipeline_engine.admin.posted_event import JSON, PostedEvent, is_repeat, read_posted

LEAST: dict[str, Any] = {"type": "order.paid", "data": {}}


def read(body: Any, content_type: str = JSON) -> PostedEvent:
    return read_posted(content_type, body if isinstance(body, bytes) else json.dumps(body).encode())


def refused(body: Any, content_type: str = JSON) -> tuple[int, str, str]:
    with pytest.raises(Refusal) as caught:
        read(body, content_type)
    return caught.value.status_code, caught.value.code, caught.value.detail


def test_an_event_needs_a_type_and_data_alone() -> None:
    assert read(LEAST).content() == {"type": "order.paid", "data": {}, "version": 1, "key": None}


def test_what_is_given_is_published() -> None:
    user = ObjectId()
    given = {**LEAST, "id": "order 7/paid", "version": 2, "key": "order:7", "user_id": str(user)}
    read_one = read(
        {**given, "occurred_at": "2026-03-01T13:00:00.123456+01:00", "cause": {"event_id": "e", "depth": 9}}
    )

    at = datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
    rest = {"type": "order.paid", "data": {}, "version": 2, "key": "order:7"}
    assert read_one.content() == {**rest, "occurred_at": at, "user_id": user}
    assert read_one.id == "order 7/paid"
    assert read_one.cause is not None
    assert read_one.cause.event_id == "e"
    assert read({**LEAST, "user_id": "a service"}).content()["user_id"] == "a service"


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_a_body_that_is_not_said_to_be_json_is_refused(content_type: str) -> None:
    wanted = "send the event with the header Content-Type: application/json"
    assert refused(LEAST, content_type) == (415, "not_json", wanted)


def test_a_type_of_content_may_be_in_capitals_and_have_parameters() -> None:
    assert read(LEAST, "Application/JSON; charset=utf-8").type == "order.paid"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type": NaN}', b"\xff", b"[" * 60_000, b'{"type": "\\ud800"}'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    status, code, reason = refused(body)
    assert (status, code) == (400, "invalid_json")
    assert reason.startswith("send one event as a JSON object; the body cannot be read: ")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no type": ({"data": {}}, "type: Field required"),
    "no data": ({"type": "a"}, "data: Field required"),
    "type a number": ({**LEAST, "type": 7}, "type: Input should be a valid string"),
    "type empty": ({**LEAST, "type": ""}, "type: String should have at least 1 character"),
    "type long": ({**LEAST, "type": "x" * 201}, "type: String should have at most 200 characters"),
    "type with NUL": ({**LEAST, "type": "a\0"}, "type: must not have control characters"),
    "data a list": ({**LEAST, "data": []}, "data: Input should be a valid dictionary"),
    "id a number": ({**LEAST, "id": 7}, "id: Input should be a valid string"),
    "id of two lines": ({**LEAST, "id": "a\nb"}, "id: must not have control characters"),
    "key empty": ({**LEAST, "key": ""}, "key: String should have at least 1 character"),
    "version a text": ({**LEAST, "version": "1"}, "version: Input should be a valid integer"),
    "version true": ({**LEAST, "version": True}, "version: Input should be a valid integer"),
    "version 0": ({**LEAST, "version": 0}, "version: Input should be greater than or equal to 1"),
    "user an object": ({**LEAST, "user_id": {"$ne": 1}}, "user_id: Input should be a valid string"),
    "cause a text": ({**LEAST, "cause": "e"}, "cause: Input should be a valid dictionary"),
    "cause without event": ({**LEAST, "cause": {"depth": 1}}, "cause.event_id: Field required"),
    "the engine's field": ({**LEAST, "status": "done"}, "status: there is no such field; an event has type, data, id"),
    "another account": ({**LEAST, "account_id": "a" * 24}, "account_id: there is no such field; an event has type"),
}


@pytest.mark.parametrize(("body", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named(body: dict[str, Any], reason: str) -> None:
    status, code, said = refused(body)
    assert (status, code) == (422, "invalid_event")
    assert said.startswith(reason)


@pytest.mark.parametrize(
    "moment",
    ["", "soon", "2026-13-01", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 7, {}],
)
def test_a_time_that_is_none_is_refused(moment: object) -> None:
    reason = "occurred_at: must be a time such as 2026-01-31T08:00:00Z, in the years 11 to 9989"
    assert refused({**LEAST, "occurred_at": moment}) == (422, "invalid_event", reason)


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert read({**LEAST, "occurred_at": "2026-03-01T12:00"}).occurred_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_refusal_stays_short_and_quotes_no_value() -> None:
    many = {f"{n} {'x' * 1000}": "secret" for n in range(50)}
    reason = refused({**LEAST, "type": ["secret"], **many})[2]
    assert len(reason) < 2000
    assert "secret" not in reason


def test_a_repeat_has_the_same_content() -> None:
    at, user = datetime(2026, 3, 1, 12, tzinfo=UTC), ObjectId()
    content = {"type": "a", "data": {"n": 1, "m": [1.5]}, "version": 1, "key": None, "user_id": user, "cause": None}
    stored = {**content, "data": {"m": [1.5], "n": 1}, "_id": "e", "status": "done", "occurred_at": at}
    del stored["key"], stored["cause"]

    assert is_repeat(content, stored)
    assert is_repeat({**content, "occurred_at": at}, stored)
    others: list[dict[str, Any]] = [{"data": {"n": True, "m": [1.5]}}, {"data": {}}, {"key": "k"}, {"type": "b"}]
    others += [{"version": 2}, {"user_id": ObjectId()}, {"cause": {"event_id": "c", "depth": 1}}]
    for other in [*others, {"occurred_at": at.replace(year=2025)}]:
        assert not is_repeat({**content, **other}, stored), other
    assert not is_repeat(content, {})
