"""Renders one step of the source as the clone will have it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.domain.funnels.forms import copy_forms
from pipeline_engine.domain.funnels.images import copy_images
from pipeline_engine.domain.funnels.page import Leftover, Mentions, Page
from pipeline_engine.domain.funnels.pages import look, rewrite
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]

DIGITS = re.compile("[0-9a-f-]{24,36}", re.IGNORECASE)
"""Of a form's id, unless it is a word."""
MAX_READS = 5
MAX_LEFTOVERS_NAMED = 5
"""In an error message."""
MAX_TRACES_NAMED = 20
"""In the warnings of one page."""


@dataclass(frozen=True)
class Rendered:
    """`errors` say what could not be copied; `counts` how many different references of each kind lead to the clone."""

    html: str | None
    components: str
    errors: list[str]
    counts: dict[str, int]


async def render_step(app: App[FunnelRepos], cache: CloneCache, clone_map: CloneMap, source_step: ObjectId) -> Rendered:
    """Copy what the page of a step mentions and rewrite the page. Each call starts from the source's own text.

    Raises: Permanent when the step is gone, its page is no text, or a reference to the source is left; Transient when
    the step changes with every read; what `look`, the storage and the form copies raise.
    """
    text = await _read(app, source_step)
    for _ in range(MAX_READS):
        new = await _rendered(app, cache, clone_map, source_step, *text)
        # HTML and components are in two documents: they belong together only if neither has changed meanwhile.
        if (now := await _read(app, source_step)) == text:
            return new
        text = now
    raise Transient(f"the original step {source_step} is being written again and again")


async def _rendered(
    app: App[FunnelRepos], cache: CloneCache, clone_map: CloneMap, source_step: ObjectId, html: str | None, page: Page
) -> Rendered:
    keys = clone_map.image_keys
    seen = await look(app, page, [*clone_map.ids, *keys])
    wanted = (seen.references & keys.keys()) | clone_map.assigned_images(source_step)
    missing = await copy_images(app, cache.copier, clone_map, sorted(wanted))
    forms = await copy_forms(app, clone_map, seen)
    chat_key, no_chat = await _chat_key(app, clone_map, seen)
    images = {**keys, **dict.fromkeys(missing, "")}
    form_ids = _form_ids(clone_map, forms.new)
    new = await rewrite(app, page, {**clone_map.ids, **images, **form_ids}, chat_key, forms.hidden)
    if left := [one for one in new.leftovers if not one.trace]:
        raise Permanent(_name_leftovers(left), "left")
    kept = _name_kept_forms(source_step, seen, forms.new)
    errors = [*missing.values(), *forms.warnings, *kept, *no_chat, *_name_traces(source_step, new.leftovers)]
    return Rendered(
        html=None if html is None else new.page.html,
        components=new.page.components or "{}",
        errors=errors,
        counts=_counts(clone_map, seen, images, form_ids, new.chat_set),
    )


async def _read(app: App[FunnelRepos], source_step: ObjectId) -> tuple[str | None, Page]:
    step = await app.repos.funnel_steps.get(source_step)
    if step is None:
        raise Permanent(f"the original step {source_step} is gone", "step_gone")
    kept = await app.repos.components.of_source(source_step) or {}
    html, components = step.get("raw_html"), kept.get("components")
    for name, text in (("raw_html", html), ("components", components)):
        if not isinstance(text, str | None):
            raise Permanent(f"{name} of the original step {source_step} is {type(text).__name__}, not text", "no_text")
    return html, Page(html or "", components or "")


async def _chat_key(app: App[FunnelRepos], clone_map: CloneMap, seen: Mentions) -> tuple[str | None, list[str]]:
    """The chat key of the preview domain, where the source has a chat widget, and a warning when there is none."""
    if clone_map.source.get("live_chat_widget") is not True or not seen.chat:
        return None, []
    domain = app.settings.preview_domain
    if not domain:
        return None, ["chat: PREVIEW_DOMAIN is not set, the page keeps the original's key"]
    key = await app.repos.support_tokens.of_domain(domain)
    return key, [] if key else [f"chat: there is no token for the domain {domain}, the page keeps the original's key"]


def _form_ids(clone_map: CloneMap, forms: Mapping[str, str]) -> dict[str, str]:
    """{old: new}. Ids of the funnel and its steps are not replaced as forms; one that is a word, in addresses only."""
    new: dict[str, str] = {}
    for id, copy in forms.items():
        if not DIGITS.fullmatch(id):
            new[f"/userform/{id}"] = f"/userform/{copy}"
        elif id.lower() not in clone_map.ids:
            new[id] = copy
    return new


def _name_kept_forms(source_step: ObjectId, seen: Mentions, forms: Mapping[str, str]) -> list[str]:
    words = sorted(id for id in seen.ids - forms.keys() if not DIGITS.fullmatch(id))
    named = [f"form {id}: there is none in this account, the page keeps its address" for id in words]
    many = f"forms: the step {source_step} has too many ids, of those at its end none is replaced as a form's"
    return [*named, many] if seen.more else named


def _name_leftovers(left: Sequence[Leftover]) -> str:
    places = [f"{one.reference} in {one.part} at {one.at}" for one in left[:MAX_LEFTOVERS_NAMED]]
    return f"{len(left)} references to the original are left: {'; '.join(places)}"


def _name_traces(source_step: ObjectId, left: Sequence[Leftover]) -> list[str]:
    named = [
        f"{one.reference}: {one.part} of the step {source_step} still contains its id, near character {one.at}"
        for one in left[:MAX_TRACES_NAMED]
    ]
    more = len(left) - len(named)
    return named + ([f"{more} more ids of the original are left in the step {source_step}"] if more else [])


def _counts(
    clone_map: CloneMap, seen: Mentions, images: Mapping[str, str], forms: Mapping[str, str], chat_set: int
) -> dict[str, int]:
    linked = Counter(
        "funnel" if reference == str(clone_map.source["_id"]) else "images" if reference in images else "steps"
        for reference in seen.references
        if images.get(reference) != ""
    )
    reset = sum(images.get(reference) == "" for reference in seen.references) + sum(not new for new in forms.values())
    whole = {name: linked[name] for name in ("funnel", "steps", "images")}
    return {**whole, "forms": sum(map(bool, forms.values())), "chat": chat_set, "reset": reset}
