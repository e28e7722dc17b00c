"""What an account's document says about its limits."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from bson import Decimal128

from pipeline_engine.domain.messages.limits import limit_of, spread


@pytest.mark.parametrize(
    ("account", "limit"),
    [
        ({"limits": {"sms": 60}}, 60),
        ({"limits": {"sms": 60.0}}, 60),
        ({"limits": {"sms": 0}}, 0),
        ({"limits": {"email": 60}}, None),
        ({"limits": {"sms": "60"}}, 60),
        ({"limits": {"sms": Decimal128("60")}}, 60),
        ({"limits": {"sms": math.inf}}, None),
        ({"limits": {"sms": "Infinity"}}, None),
        ({"limits": {"sms": Decimal128("Infinity")}}, None),
        ({"limits": {"sms": 1e300}}, None),
        ({"limits": {"sms": math.nan}}, None),
        ({"limits": {"sms": Decimal128("NaN")}}, None),
        ({"limits": {"sms": Decimal128("sNaN")}}, None),
        ({"limits": {"sms": -math.inf}}, None),
        ({"limits": {"sms": "sixty"}}, None),
        ({"limits": {"sms": ""}}, None),
        ({"limits": {"sms": True}}, None),
        ({"limits": {"sms": -1}}, None),
        ({"limits": {"sms": None}}, None),
        ({"limits": [60]}, None),
        ({}, None),
    ],
)
def test_only_a_number_is_a_limit(account: dict[str, Any], limit: int | None) -> None:
    assert limit_of(account, "sms") == limit


def test_what_is_over_a_limit_is_spread_by_the_limit_however_little_was_granted() -> None:
    rests = spread(1000, after=30.0, limit=60)
    assert (rests[0], rests[60], rests[-1]) == tuple(timedelta(seconds=30 + one) for one in (0, 60, 999))
    assert spread(2, after=60.0, limit=0, before=1) == [timedelta(seconds=120), timedelta(seconds=180)]
