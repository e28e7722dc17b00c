"""Signatures, bodies, times of attempts and health of webhooks."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from standardwebhooks import Webhook, WebhookVerificationError

from pipeline_engine.domain import account_places
from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.webhooks.endpoint import rate_of, read_subscription, signing_keys
from pipeline_engine.domain.webhooks.health import DISABLING, MAX_REST_SECONDS, MIN_DISABLING_FAILURES, Health
from pipeline_engine.domain.webhooks.payload import MAX_BYTES, body_of, content_of, plain
from pipeline_engine.domain.webhooks.retries import MAX_ATTEMPTS, next_attempt
from pipeline_engine.domain.webhooks.signature import new_secret, read_secret, signed
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.webhooks import Reply

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACCEPTED, FAILED = Reply(204, 1, None), Reply(500, 1, "answered 500")


def headers_by(*secrets: str, body: bytes) -> dict[str, str]:
    keys = [read_secret(one) for one in secrets]
    return signed(keys, "msg_1", int(datetime.now(UTC).timestamp()), body)


def test_receivers_verify_what_is_signed() -> None:
    secret, body = new_secret(), b'{"type":"contact.created","data":{"name":"Z\xc3\xb6e"}}'
    headers = headers_by(secret, body=body)

    assert Webhook(secret).verify(body, headers)["type"] == "contact.created"
    for bad in (body + b" ", b"{}"):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(bad, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, {**headers, "webhook-id": "msg_2"})


def test_either_secret_verifies_while_they_are_rotated() -> None:
    old, new = new_secret(), new_secret()
    webhook = {"secret": new, "previous_secret": old, "previous_until": NOW + timedelta(hours=24)}

    during = signing_keys(webhook, NOW + timedelta(hours=23))
    assert during == [read_secret(new), read_secret(old)]
    assert signing_keys(webhook, NOW + timedelta(hours=25)) == [read_secret(new)]
    assert signing_keys({**webhook, "previous_secret": "odd"}, NOW) == [read_secret(new)]
    headers = headers_by(new, old, body=b"{}")
    for secret in (old, new):
        Webhook(secret).verify(b"{}", headers)


BAD_SECRETS: list[object] = [
    None,
    7,
    "",
    "secret",
    base64.b64encode(b"x" * 32).decode(),
    "whsec_",
    "whsec_" + base64.b64encode(b"x" * 23).decode(),
    "whsec_not*base64" + "x" * 40,
    "whsec_" + "é" * 40,
]


@pytest.mark.parametrize("secret", BAD_SECRETS)
def test_a_secret_that_cannot_sign_is_refused_without_being_quoted(secret: object) -> None:
    with pytest.raises(Permanent) as refused:
        read_secret(secret)
    assert refused.value.code == "secret"
    assert len(str(secret)) < 10 or str(secret)[6:] not in str(refused.value)


def test_a_secret_without_padding_counts_as_receivers_read_it() -> None:
    secret = "whsec_" + base64.b64encode(b"x" * 25).decode().rstrip("=")
    assert read_secret(secret) == b"x" * 25
    Webhook(secret).verify(b"{}", headers_by(secret, body=b"{}"))


def test_the_body_holds_what_the_event_says() -> None:
    contact, account = ObjectId(), ObjectId()
    data = {"contact_id": contact, "at": NOW, "value": Decimal128("1.10"), "odd": float("nan"), "list": [1, None, True]}
    event = {"_id": "e1", "type": "contact.created", "account_id": account, "occurred_at": NOW, "data": data}

    content = json.loads(body_of(event, None))

    assert list(content)[:3] == ["type", "timestamp", "id"]
    assert content == {
        "type": "contact.created",
        "timestamp": "2026-01-02T03:04:05Z",
        "id": "e1",
        "account_id": str(account),
        "data": {
            "contact_id": str(contact),
            "at": "2026-01-02T03:04:05Z",
            "value": "1.10",
            "odd": None,
            "list": [1, None, True],
        },
    }


LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("times", "moment"),
    [
        ({"occurred_at": NOW, "ended_at": LATER, "createdAt": LATER}, NOW),
        ({"timestamp": NOW, "createdAt": LATER}, NOW),
        ({"occurred_at": None, "ended_at": NOW, "createdAt": LATER}, NOW),
        ({"occurred_at": "yesterday", "createdAt": NOW}, NOW),
        ({"occurred_at": DatetimeMS(2**52)}, None),
    ],
    ids=repr,
)
def test_a_body_has_the_time_at_which_the_event_is_known_to_have_happened(
    times: dict[str, Any], moment: datetime | None
) -> None:
    assert content_of({"_id": "e1", **times})["timestamp"] == (moment and "2026-01-02T03:04:05Z")


@pytest.mark.parametrize(
    "value",
    [b"\xff", Int64(7), Regex("x"), DatetimeMS(2**52), {"a": {"b": [ObjectId()]}}, "\ud800", float("inf"), 2**62],
)
def test_whatever_mongodb_holds_can_be_sent(value: Any) -> None:
    json.dumps(plain(value))
    json.loads(body_of({"_id": 7, "type": None, "data": value}, None))


@pytest.mark.parametrize("public_url", [None, "https://crm.example.com/"])
def test_a_large_event_is_sent_as_its_ids_and_a_link(public_url: str | None) -> None:
    contact = ObjectId()
    data = {"contact_id": contact, "dealId": "d", "text": "é" * MAX_BYTES, "long_id": "x" * 500, "n_id": 7}

    body = body_of({"_id": "e1", "type": "x", "data": data}, public_url)

    content = json.loads(body)
    assert len(body) < MAX_BYTES
    assert (content["data"], content["truncated"]) == ({"contact_id": str(contact), "dealId": "d"}, True)
    assert content.get("link") == (public_url and "https://crm.example.com/api/v1/events/e1")
    many = {f"{n}_id": "x" * 100 for n in range(5000)}
    assert len(body_of({"_id": "e1", "type": "x", "data": many}, None)) < MAX_BYTES


def test_a_large_event_keeps_the_ids_of_lists_as_far_as_there_is_room() -> None:
    deals, to = [ObjectId() for _ in range(800)], ObjectId()
    data = {"deals": deals, "to": to, "automation": str(to), "tags": ["new"] * 9000, "none": [], "total": 7}

    body = body_of({"_id": "e1", "type": "deal.stage_changed", "data": data}, None)

    content = json.loads(body)["data"]
    some = content.pop("deals")
    assert content == {"to": str(to), "automation": str(to), "deals_count": 800}
    assert some == [str(one) for one in deals[: len(some)]]
    assert MAX_BYTES - 27 <= len(body) <= MAX_BYTES


def test_whatever_a_large_event_holds_its_body_stays_within_the_limit() -> None:
    odd = "\x01"
    ids = [ObjectId() for _ in range(1000)]
    long: dict[str, Any] = {f"{n}{odd * n}_id": odd * 190 for n in range(300)}
    long |= {f"{n}{odd * (n % 40)}": ids for n in range(300)}

    body = body_of({"_id": odd * 300, "type": odd * 300, "account_id": odd * 300, "data": long}, "https://crm.example")

    assert len(body) <= MAX_BYTES


def test_ten_attempts_are_made_over_75_hours() -> None:
    moments, failed = [NOW], 1
    while again := next_attempt(failed, moments[-1], 0.0, 0.0):
        moments.append(again)
        failed += 1

    assert len(moments) == MAX_ATTEMPTS == 10
    pauses = [(after - before).total_seconds() for before, after in pairwise(moments)]
    assert pauses == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert timedelta(hours=75) < moments[-1] - NOW < timedelta(hours=76)


def test_jitter_and_retry_after_only_add_to_a_pause() -> None:
    assert next_attempt(1, NOW, 0.0, 1.0) == NOW + timedelta(seconds=5.5)
    assert next_attempt(1, NOW, 600.0, 0.5) == NOW + timedelta(seconds=600)
    assert next_attempt(2, NOW, 60.0, 0.0) == NOW + timedelta(seconds=300)


def test_an_endpoint_rests_after_failures_in_a_row_and_is_well_after_one_success() -> None:
    health, rests = Health(), []
    for _ in range(8):
        health = health.after(FAILED, NOW)
        rests.append((health.rest_until - NOW).total_seconds() if health.rest_until else 0.0)

    assert rests == [0, 0, 5, 10, 20, 40, MAX_REST_SECONDS, MAX_REST_SECONDS]
    assert health.rests(NOW)
    assert not health.rests(NOW + timedelta(seconds=61))
    assert health.after(ACCEPTED, NOW) == Health()
    asked = Health().after(Reply(429, 1, "answered 429", 90.0), NOW)
    assert asked.rest_until == NOW + timedelta(seconds=90)


def test_what_disables_an_endpoint() -> None:
    gone = Reply(410, 1, "answered 410")
    assert "410" in (Health().after(gone, NOW).disabling(gone, NOW) or "")
    long_ago = NOW - DISABLING
    assert Health(MIN_DISABLING_FAILURES, long_ago).disabling(FAILED, NOW)
    assert not Health(MIN_DISABLING_FAILURES, long_ago + timedelta(minutes=1)).disabling(FAILED, NOW)
    assert not Health(MIN_DISABLING_FAILURES - 1, long_ago).disabling(FAILED, NOW)


def test_which_types_an_endpoint_wants() -> None:
    wants = read_subscription({"events": ["contact.created", "deal.*"]}).wants
    assert [wants(one) for one in ("contact.created", "contact.updated", "deal.won", "deal", "dealer.x", "")] == [
        *(True, False, True, True, False, False)
    ]
    assert read_subscription({"events": ["*"]}).wants("anything")
    assert not read_subscription({"events": []}).wants("contact.created")
    for events in (None, "contact.created", [7]):
        with pytest.raises(Permanent, match="events"):
            read_subscription({"events": events})
    with pytest.raises(Permanent, match="filter"):
        read_subscription({"events": ["*"], "filter": {"field": "data.x", "op": "like", "value": 1}})


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        (60, 60),
        (0.5, 1),
        ("9", 9),
        (Decimal128("60"), 60),
        (None, None),
        ("", None),
        (0, None),
        ("0", None),
        (float("inf"), None),
        (2**60, None),
    ],
)
def test_a_rate_is_a_number_however_it_is_stored(given: object, rate: int | None) -> None:
    assert rate_of({"rate_per_minute": given}) == rate


@pytest.mark.parametrize("given", [-1, "-1", "many", float("nan"), Decimal128("NaN"), True, [60]], ids=repr)
def test_a_rate_that_cannot_be_kept_is_refused(given: object) -> None:
    with pytest.raises(Permanent, match="rate_per_minute: a number"):
        read_subscription({"events": ["*"], "rate_per_minute": given})


def test_one_account_has_half_of_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(account_places, "monotonic", lambda: now)
    places, busy, other = AccountPlaces(5), ObjectId(), ObjectId()
    with ExitStack() as running:
        for _ in range(5):
            assert places.wait(busy) is None
            running.enter_context(places.taken(busy))
        assert (places.wait(busy), places.wait(other)) == (0.05, None)
        now += 1
        assert places.wait(busy) == 0.5
    assert places.wait(busy) is None
