"""The funnel that a clone is made of, and whether its account may see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.refusal import CloneRefused, OriginalGone
from pipeline_engine.ids import object_id
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]


async def find_source(app: App[FunnelRepos], clone: Document) -> Document:
    """Raises: OriginalGone, or CloneRefused `foreign` or `bad_request`."""
    owner = owner_of(clone)
    original = clone.get("original_funnel_id")
    found = await app.repos.funnels.get(object_id(original)) if object_id(original) else None
    if found is None:
        raise OriginalGone(original)
    if found["_id"] == clone["_id"]:
        raise CloneRefused("a funnel cannot be cloned onto itself", "bad_request")
    if not await foreign_to(app, owner, [found]):
        return found
    raise CloneRefused(f"the original funnel {original} belongs to another account", "foreign")


def owner_of(clone: Document) -> ObjectId:
    """Its account. Raises: CloneRefused `bad_request` when it has none."""
    owner = object_id(clone.get("account_id"))
    if owner is None:
        raise CloneRefused("account_id must be an id", "bad_request")
    return owner


async def foreign_to(app: App[FunnelRepos], owner: ObjectId, documents: Iterable[Document]) -> list[Document]:
    """Those of the documents that belong to an account which this one may not see. What names none is believed."""
    owned = [(one, object_id(one["account_id"])) for one in documents if one.get("account_id") is not None]
    visible = await app.shared.accounts.visible(owner, {account for _, account in owned if account})
    return [one for one, account in owned if account not in visible]
