"""What the pages of funnels refer to: images (`sites_images`), forms, and the key of the chat plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.store import Store

SITES_IMAGES = CollectionSpec(
    "sites_images",
    indexes=(index("ref_id", "source_key", name="clone_image", unique=True, **having("clone_id")), index("ref_id")),
)
FORMS = CollectionSpec(
    "forms",
    indexes=(
        index("funnel_id", "source_form_id", name="clone_form", unique=True, **having("source_form_id")),
        index("form_secret_id"),
        index("account_id", "_id", name="google_sheet", **having("google_sheet")),
    ),
)
SUPPORT_TOKENS = CollectionSpec("support_tokens", indexes=(index("domain"),))


class SitesImages:
    """One record per image in S3. A clone's copy has its record before it has its object."""

    def __init__(self, store: Store) -> None:
        self._all = store.collection(SITES_IMAGES).everywhere
        self._own = store.collection(SITES_IMAGES)

    async def of_source(self, funnel_id: ObjectId) -> list[Document]:
        """The images of any account's funnel that have a key, oldest first."""
        query = {"ref_id": either(funnel_id), "key": {"$type": "string", "$ne": ""}}
        return await self._all.find(query, sort=[("_id", 1)])

    async def of_clone(self, clone: Mapping[str, Any]) -> list[Document]:
        """`source_key`, `key` and `uploaded` of every copy that the clone has a record of."""
        return await self._own.find(_images_of(clone), projection=["source_key", "key", "uploaded"])

    async def add(self, records: Sequence[Document]) -> None:
        """Insert the records that are missing."""
        await self._own.insert_missing(records)

    async def mark_uploaded(self, clone: Mapping[str, Any], source_keys: Sequence[str]) -> None:
        """Record that the objects of these copies are in S3."""
        query = {**_images_of(clone), "source_key": {"$in": list(source_keys)}}
        await self._own.update_many(query, {"$set": {"uploaded": True}, "$currentDate": {"updatedAt": True}})

    async def remove_keys(self, clone: Mapping[str, Any], source_keys: Sequence[str]) -> None:
        """Remove the records of these copies, because there is no source object or the clone is cleared away."""
        await self._own.delete({**_images_of(clone), "source_key": {"$in": list(source_keys)}})

    async def count(self, clone: Mapping[str, Any]) -> int:
        """How many copies of the clone are in S3."""
        return await self._own.count({**_images_of(clone), "uploaded": True})


class Forms:
    """Forms. Pages name a form by its secret id."""

    def __init__(self, store: Store) -> None:
        self._all = store.collection(FORMS).everywhere
        self._own = store.collection(FORMS)

    async def with_secrets(self, secret_ids: Sequence[str]) -> list[Document]:
        """The forms of any account with these secret ids, oldest first."""
        return await self._all.find({"form_secret_id": {"$in": list(secret_ids)}}, sort=[("_id", 1)])

    async def of_clone(self, clone: Mapping[str, Any]) -> dict[str, str]:
        """{source form: its copy in the clone}, both by secret id."""
        found = await self._own.find(_forms_of(clone), projection=["source_form_id", "form_secret_id"])
        return {one["source_form_id"]: one["form_secret_id"] for one in found}

    async def add(self, forms: Sequence[Document]) -> None:
        """Insert the forms that are missing."""
        await self._own.insert_missing(forms)

    async def count(self, clone: Mapping[str, Any]) -> int:
        """How many forms the clone has."""
        return await self._own.count(_forms_of(clone))

    async def remove(self, clone: Mapping[str, Any]) -> None:
        """Remove every form that was made for the clone."""
        await self._own.delete(_forms_of(clone))


class SupportTokens:
    """Keys of the chat plugin, one per domain. The preview domain is the platform's, so they belong to no account."""

    def __init__(self, store: Store) -> None:
        self._all = store.collection(SUPPORT_TOKENS).everywhere

    async def of_domain(self, domain: str) -> str | None:
        """The key; None where the domain has none."""
        found = await self._all.find_one({"domain": domain}, projection=["token"])
        token = found and found.get("token")
        return token if isinstance(token, str) and token else None


def _images_of(clone: Mapping[str, Any]) -> Document:
    return {"account_id": clone.get("account_id"), "ref_id": clone["_id"], "clone_id": clone["_id"]}


def _forms_of(clone: Mapping[str, Any]) -> Document:
    return {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "source_form_id": {"$exists": True}}
