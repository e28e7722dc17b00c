"""How a send ends, and what the record of an earlier attempt allows."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_engine.domain.messages.send_result import (
    SENDER_REST_SECONDS,
    UNKNOWN,
    Delivered,
    GivenUp,
    Limited,
    NotYet,
    Policy,
    SendResult,
    delivered,
    failed,
    not_composed,
    settled,
)
from pipeline_engine.errors import Permanent, RateLimited, SenderRefused, Transient, Unknown


def record(state: str, attempts: int = 1, **fields: Any) -> dict[str, Any]:
    return {"state": state, "attempts": attempts, **fields}


@pytest.mark.parametrize(
    ("found", "policy", "end"),
    [
        (record("sent"), "park", Delivered()),
        (record("failed", 2, error="550 no such user"), "resend", GivenUp("550 no such user", 2)),
        (record("failed"), "resend", GivenUp("failed before", 1)),
        (record("planned", 0), "park", None),
        (record("planned", 2, error="451"), "resend", None),
        (record("planned", 3, error="451"), "resend", GivenUp("451", 3)),
        (record("planned", 3), "resend", GivenUp("3 attempts without an answer", 3)),
        (record("sending"), "park", GivenUp(UNKNOWN, 1)),
        (record("unknown"), "park", GivenUp(UNKNOWN, 1)),
        (record("sending"), "resend", None),
        (record("unknown"), "resend", None),
        (record("sending", 2, doubts=1), "resend", GivenUp(UNKNOWN, 2)),
        (record("planned", 2, doubts=1), "resend", None),
        (record("planned", 2, doubts=1), "park", GivenUp(UNKNOWN, 2)),
    ],
)
def test_an_earlier_record_decides_whether_another_attempt_is_due(
    found: dict[str, Any], policy: Policy, end: SendResult | None
) -> None:
    assert settled(found, policy) == end


@pytest.mark.parametrize(
    ("error", "attempt", "policy", "end", "state"),
    [
        (Permanent("550 no"), 1, "resend", GivenUp("550 no", 1), "failed"),
        (Transient("451 later"), 1, "park", NotYet("451 later", 1), "planned"),
        (Transient("451 later"), 3, "park", GivenUp("451 later", 3), "failed"),
        (Unknown("cut off"), 1, "resend", NotYet("cut off", 1), "unknown"),
        (Unknown("cut off"), 3, "resend", GivenUp("cut off", 3), "unknown"),
        (Unknown("cut off"), 1, "park", GivenUp(UNKNOWN, 1), "unknown"),
        (KeyError("ours"), 1, "resend", NotYet("KeyError", 1), "unknown"),
        (RateLimited(7.0), 2, "park", Limited(7.0), "planned"),
    ],
)
def test_the_error_of_a_call_decides_its_end(
    error: Exception, attempt: int, policy: Policy, end: SendResult, state: str
) -> None:
    result, change = failed(error, attempt, policy)
    assert (result, change["state"]) == (end, state)
    assert change.get("ambiguous", False) is (state == "unknown")


def test_a_limit_uses_up_no_attempt() -> None:
    assert failed(RateLimited(7.0), 2, "resend")[1] == {"state": "planned", "attempts": 1}
    assert not_composed(RateLimited(7.0)) == Limited(7.0)


def test_a_provider_that_takes_nothing_of_ours_uses_up_no_attempt_and_ends_no_unit() -> None:
    refused = SenderRefused("535 wrong password", "smtp_login")
    waiting = {"state": "planned", "attempts": 2, "error": "535 wrong password"}
    assert failed(refused, 3, "resend") == (Limited(SENDER_REST_SECONDS, "535 wrong password"), waiting)


def test_what_was_delivered_is_known_by_the_id_of_the_provider() -> None:
    results = delivered("<a@b>")[0], settled(record("sent", provider_id="<a@b>"), "resend")
    assert [one.provider_id for one in results if isinstance(one, Delivered)] == ["<a@b>"] * 2


def test_a_call_that_went_through_and_a_unit_without_a_message() -> None:
    assert delivered("SM1") == (Delivered(), {"state": "sent", "provider_id": "SM1", "error": None})
    assert not_composed(Permanent("no address")) == GivenUp("no address", 0)
