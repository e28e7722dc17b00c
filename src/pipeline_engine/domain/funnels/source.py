"""The funnel that a clone copies, and which documents the clone's account may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]


class CloneRefused(Permanent):
    """The funnel cannot be cloned until its data change; `code` is a short word for programs."""


class OriginalGone(CloneRefused):
    """The funnel to clone does not exist. The seed prescribes the message."""

    def __init__(self, original_id: object) -> None:
        super().__init__(f"Original Funnel not found, id:{original_id}", "original_gone")


async def find_source(app: App[FunnelRepos], clone: Document) -> Document:
    """The original funnel. Raises: OriginalGone; CloneRefused `foreign`, `unfinished` or `bad_request`."""
    account_id = account_of(clone)
    original = clone.get("original_funnel_id")
    found = await app.repos.funnels.get(object_id(original)) if object_id(original) else None
    if found is None:
        raise OriginalGone(original)
    if found["_id"] == clone["_id"]:
        raise CloneRefused("a funnel cannot be cloned onto itself", "bad_request")
    if await foreign_to(app, account_id, [found]):
        raise CloneRefused(f"the original funnel {original} belongs to another account", "foreign")
    if _is_broken_clone(found):
        raise CloneRefused(f"the original funnel {original} is not whole: its own cloning has failed", "unfinished")
    return found


def is_being_cloned(funnel: Document) -> bool:
    """Whether the funnel is itself a clone that is due or under way: its pages are still empty. Pure."""
    return funnel.get("pending") is True or funnel.get("in_progress") is True


def account_of(clone: Document) -> ObjectId:
    """The account that the clone belongs to. Raises: CloneRefused `bad_request` when the funnel names none."""
    account_id = object_id(clone.get("account_id"))
    if account_id is None:
        raise CloneRefused("account_id must be an id", "bad_request")
    return account_id


async def foreign_to(app: App[FunnelRepos], account_id: ObjectId, documents: Iterable[Document]) -> list[Document]:
    """Those of the documents that belong to an account which `account_id` may not see.

    A document without an account counts as visible.
    """
    owned = [(one, object_id(one["account_id"])) for one in documents if one.get("account_id") is not None]
    visible = await app.shared.accounts.visible_to(account_id, {account for _, account in owned if account})
    return [one for one, account in owned if account not in visible]


def _is_broken_clone(funnel: Document) -> bool:
    """Whether the funnel is a clone that was given up. One that copies nothing may be so marked by a stray flag."""
    failed = funnel.get("clone_failed") is True and not is_being_cloned(funnel)
    return failed and funnel.get("original_funnel_id") is not None
