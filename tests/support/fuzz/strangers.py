"""Values that CRM, scripts and restored backups may leave in any field: every type of BSON, and what is extreme."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

DATES: list[Any] = [
    DatetimeMS(8_640_000_000_000_000), DatetimeMS(-62_167_219_200_000), datetime(9999, 12, 31, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC),
]  # fmt: skip
STRANGERS: list[Any] = [
    [], [[]], ["x"], [ObjectId()], [{"_id": 1}], [{"planned": True, "id": "x", "event_id": "x"}],
    {}, {"_id": ObjectId(), "name": "Acme"}, {"$gt": ""}, {"planned": True}, {"id": 5}, {"event_id": "x"},
    "", "x", "7", 0, -7, 2.5, float("nan"), float("inf"), Int64(2**63 - 1), Decimal128("1E+6000"), True, False, None,
    Regex("^x"), re.compile("y"), Binary(b"\x00"), Code("x"), DBRef("x", 1), Timestamp(2**32 - 1, 1), MinKey(),
    MaxKey(), *DATES[:3],
]  # fmt: skip
ODD_IDS: list[Any] = [
    {}, {"id": 5}, 7, 2.5, True, None, Decimal128("1E+6000"), Binary(b"\x00"), Code("x"), Code("x", {}), DBRef("x", 1),
    Timestamp(2**32 - 1, 1), MinKey(), *DATES[:2],
]  # fmt: skip
"""What MongoDB takes as `_id` and no job can name."""
TEXTS = [
    "{{", "{% for a in range(10**9) %}x{% endfor %}", "{{ 'x' * 10**9 }}", "{{ deal.nothing }}", "$name", "$$NOW",
    "a\x00b", "x@y\nBcc: z@y", "İ" * 50, "/", "..",
]  # fmt: skip
