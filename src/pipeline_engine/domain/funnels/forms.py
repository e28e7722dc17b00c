"""Copies the forms that a page mentions: once per clone, however many steps use a form."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap, clone_uuid
from pipeline_engine.domain.funnels.page import Mentions
from pipeline_engine.domain.funnels.relink import relink
from pipeline_engine.domain.funnels.source import foreign_to
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]

SHEET = "google_sheet"
"""A copy is not connected to it: the rows that were read for the original would all be read again for the copy."""
COUNTERS = {"submissions", "submission_count", "submissions_count"}
"""Where they are numbers, they say how often the original was sent."""


@dataclass(frozen=True)
class CopiedForms:
    """`new` is {form id: the id of its copy, or '' where there is no form to copy}; `hidden` are ids of forms that only
    base64 names and that are not copied."""

    new: Mapping[str, str]
    warnings: Sequence[str] = ()
    hidden: Sequence[str] = ()


async def copy_forms(app: App[FunnelRepos], clone_map: CloneMap, seen: Mentions) -> CopiedForms:
    """Copy the forms that a page mentions. Outside `/userform/<id>`, an id counts if there is such a form.

    Raises: Permanent `form` when a unique index refuses a copy; as `relink`.
    """
    possible = seen.forms | seen.ids | seen.hidden
    if not possible:
        return CopiedForms({})
    known = await _sources(app, clone_map, possible)
    mentioned = seen.forms | {id for id in seen.ids if id.lower() in known}
    named = {id.lower() for id in mentioned}
    hidden = sorted(id for id in seen.hidden if id.lower() in known.keys() - named)
    if not mentioned:
        return CopiedForms({}, hidden=hidden)
    sources = {id: form for id, form in known.items() if id in named}
    there = await _copies(app, clone_map, sources)
    new = {id: there.get(id.lower(), "") for id in mentioned}
    return CopiedForms(new, [*_not_found(new), *_without_sheet(sources)], hidden)


async def _sources(app: App[FunnelRepos], clone_map: CloneMap, mentioned: Collection[str]) -> dict[str, Document]:
    """The forms to copy, by secret id in small letters. Of several with one id, a form of the source's account wins,
    else the newest."""
    spelled = {one for id in mentioned for one in (id, id.lower(), id.upper())}
    found = await app.repos.forms.with_secrets(sorted(spelled))
    foreign = await foreign_to(app, clone_map.account_id, found)
    own = str(clone_map.source.get("account_id"))
    visible = [one for one in found if one not in foreign]
    visible.sort(key=lambda one: str(one.get("account_id")) == own)
    return {str(one["form_secret_id"]).lower(): one for one in visible}


async def _copies(app: App[FunnelRepos], clone_map: CloneMap, sources: Mapping[str, Document]) -> dict[str, str]:
    """{source form: its copy} of all forms of the clone, by secret id in small letters. Makes what is missing."""
    there = await _there(app, clone_map)
    if missing := [form for id, form in sources.items() if id not in there]:
        new = {str(form["form_secret_id"]): _new_id(clone_map, form) for form in sources.values()}
        relinked, _ = await relink(app, missing, {**clone_map.ids, **clone_map.image_keys, **new})
        now = app.clock.now()
        await app.repos.forms.add(
            [_copy(form, fields, clone_map, now) for form, fields in zip(missing, relinked, strict=True)]
        )
        there = await _there(app, clone_map)
    if lost := sorted(sources.keys() - there.keys()):
        raise Permanent(f"forms could not be copied, a unique index refuses them: {', '.join(lost)}", "form")
    return there


async def _there(app: App[FunnelRepos], clone_map: CloneMap) -> dict[str, str]:
    return {source.lower(): new for source, new in (await app.repos.forms.of_clone(clone_map.clone)).items()}


def _new_id(clone_map: CloneMap, form: Document) -> str:
    return clone_uuid(clone_map.clone["_id"], str(form["form_secret_id"]))


def _copy(form: Document, relinked: Document, clone_map: CloneMap, now: object) -> dict[str, Any]:
    """The copy of a form, of whose fields `relinked` leads to the clone."""
    return {
        **{name: 0 if _counts(name, value) else value for name, value in relinked.items() if name != SHEET},
        "_id": ObjectId(),
        "form_secret_id": _new_id(clone_map, form),
        "source_form_id": str(form["form_secret_id"]),
        "account_id": clone_map.clone["account_id"],
        "funnel_id": clone_map.clone["_id"],
        "createdAt": now,
        "updatedAt": now,
    }


def _counts(name: str, value: object) -> bool:
    return name in COUNTERS and isinstance(value, int)


def _not_found(new: Mapping[str, str]) -> list[str]:
    return [f"form {id}: there is none in this account" for id in sorted(new) if not new[id]]


def _without_sheet(sources: Mapping[str, Document]) -> list[str]:
    with_sheet = sorted(id for id, form in sources.items() if form.get(SHEET))
    return [f"form {id}: its copy is not connected to the Google Sheet of the original" for id in with_sheet]
