"""A CRM with one account, for the demo and for first tries with `dev`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bson import ObjectId

from pipeline_engine.repos.client import Document

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


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
        """Which column of the sample file is which field."""
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
