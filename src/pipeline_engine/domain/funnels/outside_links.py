"""Finds links of a clone's page to steps that were not cloned: added later, or of another account."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.repos.funnel_repos import FunnelRepos

NEXT_ID = re.compile(r"(?:\\*/|%(?:25)*2f|&#(?:47|x2f);)([0-9a-f]{24})(?![0-9a-f])", re.IGNORECASE)
MAX_LINKS_READ = 1000
MAX_LINKS_NAMED = 20


async def outside_links(
    app: App[FunnelRepos], clone_map: CloneMap, source_step: ObjectId, texts: Iterable[str]
) -> list[str]:
    """A warning for each step of the source that rewritten texts name after the clone's id."""
    after = (id for text in texts for id in ids_after(text, str(clone_map.clone["_id"])))
    linked = {ObjectId(id) for id in islice(after, MAX_LINKS_READ)} - set(clone_map.steps.values())
    if not linked:
        return []
    steps = await app.repos.funnel_steps.of_source(clone_map.source["_id"])
    outside = [one["_id"] for one in steps if one["_id"] in linked][:MAX_LINKS_NAMED]
    return [f"step {id}: it was not cloned, but the step {source_step} links to it" for id in outside]


def ids_after(text: str, funnel: str) -> Iterator[str]:
    """The ids that come next after the funnel's in an address, as in `/preview/<funnel>/<step>`. Pure."""
    at = text.find(funnel)
    while at >= 0:
        at += len(funnel)
        if following := NEXT_ID.match(text, at):
            yield following[1]
        at = text.find(funnel, at)
