"""What an account's document says about its limits."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_engine.domain.messages.limits import limit_of


@pytest.mark.parametrize(
    ("account", "limit"),
    [
        ({"limits": {"sms": 60}}, 60),
        ({"limits": {"sms": 60.0}}, 60),
        ({"limits": {"sms": 0}}, 0),
        ({"limits": {"email": 60}}, None),
        ({"limits": {"sms": "60"}}, None),
        ({"limits": {"sms": True}}, None),
        ({"limits": {"sms": -1}}, None),
        ({"limits": {"sms": None}}, None),
        ({"limits": [60]}, None),
        ({}, None),
    ],
)
def test_only_a_number_is_a_limit(account: dict[str, Any], limit: int | None) -> None:
    assert limit_of(account, "sms") == limit
