"""The file that the import benchmarks read: 12 columns, 8 mapped and 2 custom, 20 stages."""

from __future__ import annotations

import csv
import io
import random

MAPPINGS = {
    "Deal Name": "name",
    "Value": "value",
    "Stage": "stage_id",
    "Status": "status",
    "Contract": "contract_type",
    "Contact Name": "contact_name",
    "Contact Email": "contact_email",
    "Contact Phone": "contact_phone",
    "Region": "a" * 24,
    "Segment": "b" * 24,
}
COLUMNS = [*MAPPINGS, "Left Out", "Comment"]
STAGES = 20


def sample(rows: int) -> bytes:
    """A CSV file of `rows` data rows; the same for the same number."""
    choose = random.Random(rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for n in range(rows):
        value, stage = choose.randrange(1_000_000), f"Stage {choose.randrange(STAGES)}"
        person = [f"Person {n}", f"person{n}@example.com", f"+49 30 {n:08d}"]
        writer.writerow([f"Deal {n}", value, stage, "open", "monthly", *person, f"r{n % 7}", f"s{n % 11}", "x", "none"])
    return text.getvalue().encode()
