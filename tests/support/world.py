"""A small CRM around the engine, for tests: accounts, users, pipelines, uploaded files and queue documents.

It speaks to the servers by itself, with no code of the engine.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Any

import boto3
from bson import ObjectId
from pymongo import MongoClient

Document = dict[str, Any]

SAMPLE = (
    "Deal Name,Value,Stage,Status,Contact Name,Contact Email\n"
    "Acme Corp Deal,5000,qualified,open,John Doe,john@acme.com\n"
    "TechStart Deal,12000,proposal,open,Jane Smith,jane@techstart.com\n"
    "Global Inc Deal,25000,negotiation,open,Bob Johnson,bob@global.com\n"
)
ENDLESS = "\n" + "text that is no row\n" * 60_000
"""Behind an opening quote: more than 1 MB in which it may not close, so that where the next row begins is unknown."""
SAMPLE_MAPPINGS = {"Deal Name": "name", "Value": "value", "Stage": "stage_id"}


_session = cache(boto3.Session)  # reads Amazon's descriptions, which takes as long as a short test


def s3_client(environment: Mapping[str, str]) -> Any:
    """A blocking client of the S3 that the settings name."""
    return _session().client(
        "s3",
        endpoint_url=environment["S3_ENDPOINT_URL"],
        region_name=environment["S3_REGION"],
        aws_access_key_id=environment["S3_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["S3_SECRET_ACCESS_KEY"],
        verify=False,
    )


class World:
    """One account with a user and a pipeline, in the database that `environment` names."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._mongo: MongoClient[Document] = MongoClient(
            environment["MONGO_URL"], tz_aware=True, datetime_conversion="DATETIME_AUTO"
        )
        self.db = self._mongo.get_default_database()
        self._neighbours: list[World] = []
        self._bucket = environment["S3_BUCKET"]
        self.account, self.user, self.pipeline, self.stage = ObjectId(), ObjectId(), ObjectId(), ObjectId()
        self.db["_accounts"].insert_one({"_id": self.account, "active": True})
        self.db["users"].insert_one({"_id": self.user, "account": self.account, "active": True})
        self.db["pipelines"].insert_one({"_id": self.pipeline, "account_id": self.account, "name": "Sales"})

    def close(self) -> None:
        """Close its connections and those of its neighbours. May be called again."""
        for neighbour in self._neighbours:
            neighbour.close()
        self._mongo.close()
        if "_s3" in vars(self):
            self._s3.close()

    @cached_property
    def _s3(self) -> Any:
        """Made when it is first used: that takes as long as a short test."""
        return s3_client(self.environment)

    def upload(self, key: str, body: str | bytes) -> str:
        data = body.encode() if isinstance(body, str) else body
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
        return key

    def download(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", [])]

    def queue(self, key: str | None, mappings: Mapping[str, str] | None = None, **changes: Any) -> ObjectId:
        """Insert a pending import of the object `key`; `changes` replace whole fields, `options` go below
        `additional_data`."""
        options = changes.pop("options", {})
        document: Document = {
            "source": "deals",
            "status": "pending",
            "in_progress": False,
            "user_id": self.user,
            "account_id": self.account,
            "parent_account": None,
            "client_id": None,
            "csv": [{"key": key, "name": "test-import.csv"}] if key else [],
            "mappings": dict(SAMPLE_MAPPINGS if mappings is None else mappings),
            "additional_data": {"pipeline_id": self.pipeline, "tags": ["test"], **options},
            "createdAt": datetime.now(UTC),
            "updatedAt": datetime.now(UTC),
        } | changes
        return ObjectId(self.db["queues"].insert_one(document).inserted_id)

    def submit(self, body: str | bytes, mappings: Mapping[str, str] | None = None, **changes: Any) -> ObjectId:
        """Upload a file under a name of its own and queue its import."""
        return self.queue(self.upload(f"imports/{self.account}/{ObjectId()}.csv", body), mappings, **changes)

    def demand(self, collection: str, rule: Document) -> None:
        """Let the server refuse documents that break the rule."""
        if collection not in self.db.list_collection_names():
            self.db.create_collection(collection)
        self.db.command("collMod", collection, validator=rule)

    def abandon(self, collection: str, id: object, **fields: Any) -> None:
        """Let the lease of a document have run out a minute ago, as when its holder died; `fields` change as well.

        A document that no process holds gets the holder `dead`.
        """
        holder = {"$ifNull": ["$lease_owner", "dead"]}
        lease = {"lease_until": datetime.now(UTC) - timedelta(minutes=1), "lease_owner": holder}
        done = self.db[collection].update_one({"_id": id}, [{"$set": {**lease, **fields}}])
        assert done.matched_count == 1, f"{collection} has no {id}"

    def neighbour(self) -> World:
        """Another account in the same database."""
        self._neighbours.append(World(self.environment))
        return self._neighbours[-1]

    def automation(self, type: str, **changes: Any) -> ObjectId:
        """Insert an active automation of a day ago, without delay, on the stage of the world."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        document: Document = {
            "status": "ACTIVE",
            "module": "DEAL",
            "type": type,
            "stage_id": self.stage,
            "delay": 0,
            "is_running": False,
            "account_id": self.account,
            "created_by": self.user,
            "createdAt": yesterday,
            "updatedAt": yesterday,
        } | changes
        return ObjectId(self.db["automations"].insert_one(document).inserted_id)

    def deal(self, **changes: Any) -> ObjectId:
        """Insert a deal that entered the stage of the world ten minutes ago."""
        document: Document = {
            "name": "Test Deal",
            "account_id": self.account,
            "pipeline_id": self.pipeline,
            "stage_id": self.stage,
            "created_by": self.user,
            "owner": self.user,
            "tags": [],
            "contact_name": "Ada",
            "contact_email": "ada@example.com",
            "contact_phone": "+15005550006",
            "automation_starts": datetime.now(UTC) - timedelta(minutes=10),
            "automation_triggered": [],
            "skip_automations": [],
        } | changes
        return ObjectId(self.db["deals"].insert_one(document).inserted_id)

    def import_of(self, queue_id: ObjectId) -> Document:
        found = self.db["queues"].find_one({"_id": queue_id})
        assert found is not None
        return found

    def report_of(self, queue_id: ObjectId) -> Document:
        found = self.db["csv_imports"].find_one({"queue_id": queue_id})
        assert found is not None
        return found

    def error_csv_of(self, queue_id: ObjectId) -> list[dict[str, str]]:
        """The rows of the error CSV, by column, as a spreadsheet would read them."""
        text = self.download(self.import_of(queue_id)["error_csv_key"]).decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def deals_of(self, queue_id: ObjectId) -> list[Document]:
        return list(self.db["deals"].find({"import_id": queue_id}).sort("import_row"))

    def stage_names(self) -> dict[ObjectId, str]:
        return {stage["_id"]: stage["name"] for stage in self.db["pipeline_stages"].find()}
