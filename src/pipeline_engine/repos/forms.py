"""Forms, found by the secret id that pages name them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.store import Store

FORMS = CollectionSpec(
    "forms",
    indexes=(
        index("funnel_id", "source_form_id", name="clone_form", unique=True, **having("source_form_id")),
        index("form_secret_id"),
    ),
)


class Forms:
    def __init__(self, store: Store) -> None:
        self._all = store.collection(FORMS).everywhere
        self._own = store.collection(FORMS)

    async def with_secrets(self, secret_ids: Sequence[str]) -> list[Document]:
        """Whosever they are, oldest first."""
        return await self._all.find({"form_secret_id": {"$in": list(secret_ids)}}, sort=[("_id", 1)])

    async def of_clone(self, clone: Mapping[str, Any]) -> dict[str, str]:
        """{source form: its clone}, both by secret id."""
        found = await self._own.find(_of(clone), projection=["source_form_id", "form_secret_id"])
        return {one["source_form_id"]: one["form_secret_id"] for one in found}

    async def add(self, forms: Sequence[Document]) -> None:
        """Insert what is not there yet."""
        await self._own.insert_missing(forms)

    async def count(self, clone: Mapping[str, Any]) -> int:
        return await self._own.count(_of(clone))

    async def remove(self, clone: Mapping[str, Any]) -> None:
        await self._own.delete(_of(clone))


def _of(clone: Mapping[str, Any]) -> Document:
    return {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "source_form_id": {"$exists": True}}
