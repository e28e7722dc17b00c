"""The settings of a mailbox, with values of any type."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_engine.errors import Permanent
from pipeline_engine.providers.mailbox_server import read_server

GOOD: dict[str, Any] = {"host": "imap.example.com", "username": "ann@example.com"}


@pytest.mark.parametrize("field", ["host", "security", "port", "username"])
@pytest.mark.parametrize("value", [{"a": 1}, [1], float("nan"), True, -1, 993.5, "x\0"])
def test_what_cannot_be_used_is_refused_with_its_reason(field: str, value: Any) -> None:
    if field == "host" and isinstance(value, str):
        return  # a name that the resolver refuses
    with pytest.raises(Permanent):
        read_server({**GOOD, field: value}, allow_plain=True)


@pytest.mark.parametrize("port", [993, 993.0, "993", None, ""])
def test_a_port_may_be_any_kind_of_number(port: Any) -> None:
    assert read_server({**GOOD, "port": port}, allow_plain=False).port == 993
