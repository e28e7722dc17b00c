"""Which funnels can be copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.source import CloneRefused, find_source, is_being_cloned
from pipeline_engine.repos.funnel_repos import FunnelRepos

ACCOUNT, SOURCE, CLONE = (ObjectId() for _ in range(3))


async def found(**changes: Any) -> Mapping[str, Any]:
    source = {"_id": SOURCE, "account_id": ACCOUNT, "original_funnel_id": ObjectId(), **changes}

    async def get(_: ObjectId) -> dict[str, Any]:
        return source

    async def visible_to(_: ObjectId, accounts: Collection[ObjectId]) -> set[ObjectId]:
        return set(accounts)

    app = SimpleNamespace(
        repos=SimpleNamespace(funnels=SimpleNamespace(get=get)),
        shared=SimpleNamespace(accounts=SimpleNamespace(visible_to=visible_to)),
    )
    clone = {"_id": CLONE, "account_id": ACCOUNT, "original_funnel_id": SOURCE}
    return await find_source(cast("App[FunnelRepos]", app), clone)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, False),
        ({"pending": None, "in_progress": False}, False),
        ({"pending": False, "clone": {"error": "cancelled"}}, False),
        ({"original_funnel_id": None, "clone_failed": True}, False),  # it is no clone, and was flagged by mistake
        ({"pending": True}, True),
        ({"pending": True, "in_progress": True}, True),
        ({"pending": False, "in_progress": True}, True),
        ({"pending": True, "clone_failed": True}, True),  # it is tried again
    ],
)
async def test_a_funnel_that_is_being_cloned_itself_is_waited_for(flags: dict[str, Any], expected: bool) -> None:
    assert is_being_cloned(await found(**flags)) is expected


async def test_a_funnel_whose_own_cloning_has_failed_is_refused() -> None:
    with pytest.raises(CloneRefused, match=f"original funnel {SOURCE} is not whole: its own cloning has failed") as no:
        await found(pending=False, in_progress=False, clone_failed=True)
    assert no.value.code == "unfinished"
