"""A CSV file as people export them: mostly fine, one stage under several spellings, and a few rows that are wrong."""

from __future__ import annotations

import csv
import io

ROWS = 2000
EVERY = 160
"""One row in so many is wrong."""
HEADER = (
    "Deal Name", "Value", "Stage", "Status", "Contract", "Contact Name", "Contact Email", "Lead Source", "Remarks"
)  # fmt: skip
COMPANIES = ("Acme", "TechStart", "Global", "Nordwind", "Blue Harbour", "Škoda & Sons", "Tanaka", "O'Neill", "Río Azul")
WORDS = ("renewal", "licences", "support plan", "pilot", "extension", "migration", "training")
STAGES = ("Qualified", "proposal", "Negotiation", "qualified ", "Closed  Won", "PROPOSAL", "closed won")
STATES = ("open", "open", "won", "open", "lost")
CONTRACTS = ("monthly", "Annual - prepaid", "one-time")
PEOPLE = ("John Doe", "Jane Smith", "Zoë Díaz", "Bob Johnson", "Wei Chen")
SOURCES = ("web", "fair", "referral", "cold call")


def sample_deals(rows: int = ROWS) -> str:
    """The file; the same one whenever it is made."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(HEADER)
    writer.writerows(_row(n) if n % EVERY else _wrong(n) for n in range(1, rows + 1))
    return out.getvalue()


def _row(n: int) -> list[str]:
    company, person = COMPANIES[n % len(COMPANIES)], PEOPLE[n % len(PEOPLE)]
    return [
        f"{company} {WORDS[n % len(WORDS)]} {n}",
        str(500 + 37 * n % 25_000),
        STAGES[n % len(STAGES)],
        STATES[n % len(STATES)],
        CONTRACTS[n % len(CONTRACTS)],
        person,
        f"contact{n}@company{n % len(COMPANIES)}.example",
        SOURCES[n % len(SOURCES)],
        "asked for a call,\nthen for a discount" if n % 9 == 0 else "",
    ]


def _wrong(n: int) -> list[str]:
    row = _row(n)
    wrong = (["", *row[1:]], [*row[:2], "", *row[3:]], [*row, "a cell too many"])
    return wrong[n // EVERY % len(wrong)]
