"""Links to steps that a clone does not have are said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.domain.funnels.outside_links import MAX_LINKS_NAMED, ids_after, outside_links
from pipeline_engine.repos.funnel_repos import FunnelRepos

SOURCE, CLONE, HERE, NEW, LATER, NO_STEP = (ObjectId() for _ in range(6))
CLONE_MAP = CloneMap({"_id": CLONE}, {"_id": SOURCE}, ObjectId(), None, {HERE: NEW}, {}, frozenset())


async def said(*texts: str, steps: Sequence[ObjectId] = (HERE, LATER)) -> list[str]:
    async def of_source(funnel_id: ObjectId) -> list[dict[str, ObjectId]]:
        return [{"_id": id} for id in steps if funnel_id == SOURCE]

    app = SimpleNamespace(repos=SimpleNamespace(funnel_steps=SimpleNamespace(of_source=of_source)))
    return await outside_links(cast("App[FunnelRepos]", app), CLONE_MAP, HERE, texts)


@pytest.mark.parametrize("slash", ["/", "\\/", "\\\\\\/", "%2F", "%2f", "%252F", "&#47;", "&#x2F;"])
@pytest.mark.covers("FC-13", "R-24")
async def test_a_link_to_a_step_that_was_not_cloned_is_said_once(slash: str) -> None:
    text = (
        f'<a href="/preview/{CLONE}{slash}{LATER}?x">x</a> {CLONE}{slash}{NEW} {CLONE}{slash}{NO_STEP} {CLONE} {LATER}'
    )
    assert await said(text, text) == [f"step {LATER}: it was not cloned, but the step {HERE} links to it"]


async def test_other_ids_are_no_links_to_steps() -> None:
    assert await said("", f"/preview/{CLONE}/{NEW} /preview/{CLONE}/{LATER}00 /{CLONE}-{LATER} /x/{LATER}") == []


async def test_a_page_full_of_links_costs_little_and_says_a_little() -> None:
    many = [ObjectId() for _ in range(2000)]
    text = "".join(f"{CLONE}/{id} " for id in many) * 100
    began = time.process_time()
    assert len(await said(text, steps=many)) == MAX_LINKS_NAMED
    assert sum(1 for _ in ids_after(text, str(CLONE))) == 200_000
    assert time.process_time() - began < 2
