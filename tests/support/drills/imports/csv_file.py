"""CSV files for fault runs: made of a row number alone, with a known share of rows that cannot become deals."""

from __future__ import annotations

from itertools import cycle

HEADER = "Deal Name,Value,Stage,Status,Contact Email"
MAPPINGS = {
    "Deal Name": "name",
    "Value": "value",
    "Stage": "stage_id",
    "Status": "status",
    "Contact Email": "contact_email",
}
STAGES = 20
RAGGED = b"Deal %d,%d,stage 1"
NO_STAGE = b"Deal %d,%d, ,open,x@example.com"
NO_UTF8 = b"Deal \xff\xfe %d,%d,stage 1,open,x@example.com"


def csv_file(rows: int, bad_every: int = 100) -> bytes:
    """`rows` data rows; of every `bad_every` the last is ragged, without a stage, or not UTF-8, in turn."""
    spoiled = cycle((RAGGED, NO_STAGE, NO_UTF8))
    lines = [next(spoiled) % (n, n) if n % bad_every == 0 else _line(n).encode() for n in range(1, rows + 1)]
    return b"\n".join([HEADER.encode(), *lines, b""])


def _line(n: int) -> str:
    # Some cells hold what a careless splitter would trip over.
    name = f'"Deal {n}, the ""größte"" one\non two lines"' if n % 50 == 7 else f"Deal {n}"
    return f"{name},{n * 100},Stage {n % STAGES},Closed - Won,deal{n}@example.com"
