"""Sees what stands in MongoDB and S3, with no code of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from pymongo import MongoClient

from tests.support.drills.history import LEASED, Change, History, changes
from tests.support.world import Document, s3_client


class Observer:
    """Knows every change of a leased document from the observer's creation on: make it before the work."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._mongo: MongoClient[Document] = MongoClient(environment["MONGO_URL"], tz_aware=True)
        self.db = self._mongo.get_default_database()
        self.lease = float(environment.get("LEASE_SECONDS", 15))
        self.environment = dict(environment)
        self._bucket = environment["S3_BUCKET"]
        self.s3 = s3_client(environment)
        self._since = self.db.command("ping")["operationTime"]

    def close(self) -> None:
        self._mongo.close()
        self.s3.close()

    def find(self, collection: str, **query: Any) -> list[Document]:
        """In the order of their ids."""
        return list(self.db[collection].find(query).sort("_id"))

    def get(self, collection: str, id: object) -> Document:
        """The one document with this id."""
        found = self.db[collection].find_one({"_id": id})
        assert found is not None, f"{collection} has no {id}"
        return found

    def changes(self, *collections: str) -> list[Change]:
        """All changes of these collections so far; without any, of those that units are leased in."""
        return changes(self.db, self._since, collections or LEASED)

    def longest_orphaned(self) -> timedelta:
        """How long at most a lease had run out before another holder took over."""
        return History(self.changes(), self.lease).longest_orphaned

    def object_keys(self, prefix: str = "") -> Iterator[str]:
        """Of the whole bucket, which other tests use as well."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from (one["Key"] for one in page.get("Contents", []))

    def objects(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: self.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read() for key in keys}

    def unfinished_uploads(self, prefix: str) -> list[str]:
        """The keys of multipart uploads that were neither completed nor aborted."""
        found = self.s3.list_multipart_uploads(Bucket=self._bucket, Prefix=prefix).get("Uploads", [])
        return [upload["Key"] for upload in found]
