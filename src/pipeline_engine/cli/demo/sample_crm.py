"""A CRM with one account and a CSV file of deals for it, for `demo` and for first tries with `dev`.

The file is as users export them: mostly fine, one stage under several spellings, and a few rows that are wrong.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bson import ObjectId

from pipeline_engine.repos.client import Document

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

ROWS = 2000
WRONG_EVERY = 160
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


@dataclass(frozen=True)
class SampleCrm:
    account: ObjectId = field(default_factory=ObjectId)
    user: ObjectId = field(default_factory=ObjectId)
    pipeline: ObjectId = field(default_factory=ObjectId)
    lead_source: ObjectId = field(default_factory=ObjectId)
    """A custom field of deals."""

    async def insert(self, database: AsyncIOMotorDatabase[Document]) -> None:
        account = {"_id": self.account, "active": True, "name": "Sample Ltd", "timezone": "UTC"}
        user = {"_id": self.user, "account": self.account, "active": True, "name": "Sam Sample"}
        pipeline = {"_id": self.pipeline, "account_id": self.account, "name": "Sales"}
        custom = {"_id": self.lead_source, "account_id": self.account, "name": "Lead Source"}
        await database["_accounts"].insert_one(account)
        await database["users"].insert_one({**user, "email": "sam@sample.example"})
        await database["pipelines"].insert_one(pipeline)
        await database["custom_fields"].insert_one(custom)

    def mappings(self) -> dict[str, str]:
        """{column of the sample file: field of a deal}."""
        return {
            "Deal Name": "name",
            "Value": "value",
            "Stage": "stage_id",
            "Status": "status",
            "Contract": "contract_type",
            "Contact Name": "contact_name",
            "Contact Email": "contact_email",
            "Lead Source": str(self.lead_source),
        }


def sample_deals(rows: int = ROWS) -> str:
    """The text of the file, the same in every call."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(HEADER)
    writer.writerows(_row(n) if n % WRONG_EVERY else _wrong(n) for n in range(1, rows + 1))
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
    return wrong[n // WRONG_EVERY % len(wrong)]
