"""Fields of a step other than its page (the next step, redirects, images) lead to the clone as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.domain.funnels.forms import copy_forms
from pipeline_engine.domain.funnels.pages import look
from pipeline_engine.domain.funnels.placeholders import kept_fields
from pipeline_engine.domain.funnels.relink import page_of, relink
from pipeline_engine.repos.funnel_repos import FunnelRepos


async def relink_fields(
    app: App[FunnelRepos], clone_map: CloneMap, step: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The fields of the clone's step that change, and what is to be said of them. Copies forms that they mention.

    To be written with the end of the step: another attempt must find the source's values there.
    Every image of the source is copied by some step, so addresses of images need no look at the bucket.
    Raises: as `look` and `copy_forms`.
    """
    fields = {name: value for name, value in kept_fields(step).items() if _can_be_set(name)}
    seen = await look(app, page_of(fields), [*clone_map.ids, *clone_map.image_keys])
    forms = await copy_forms(app, clone_map, seen)
    new, left = await relink(app, fields, {**clone_map.ids, **clone_map.image_keys, **forms.new})
    changed = {name: value for name, value in new.items() if value != fields[name]}
    source_step = step["original_step_id"]
    still = [f"{one}: fields of the step {source_step} still contain its id" for one in left]
    return changed, [*forms.warnings, *still]


def _can_be_set(name: str) -> bool:
    """Whether an update reads the name as that of a field, not as a path or an operator."""
    return bool(name) and "." not in name and not name.startswith("$")
