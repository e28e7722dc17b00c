"""Copies the forms that a page mentions: once per clone, however many steps use a form."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap, clone_uuid
from pipeline_engine.domain.funnels.page import Mentions
from pipeline_engine.domain.funnels.source import foreign_to
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]


@dataclass(frozen=True)
class CopiedForms:
    """`new` is {form id: the id of its copy, or '' where there is no form to copy}; `hidden` are ids of forms that only
    base64 names and that are not copied."""

    new: Mapping[str, str]
    warnings: Sequence[str] = ()
    hidden: Sequence[str] = ()


async def copy_forms(app: App[FunnelRepos], clone_map: CloneMap, seen: Mentions) -> CopiedForms:
    """Copy the forms that a page mentions. Outside `/userform/<id>`, an id counts if there is such a form.

    Raises: Permanent `form` when a unique index refuses a copy.
    """
    possible = seen.forms | seen.ids | seen.hidden
    if not possible:
        return CopiedForms({})
    known = await _sources(app, clone_map, possible)
    mentioned = seen.forms | {id for id in seen.ids if id.lower() in known}
    named = {id.lower() for id in mentioned}
    hidden = sorted(id for id in seen.hidden if id.lower() in known.keys() - named)
    sources = {id: form for id, form in known.items() if id in named}
    if not mentioned:
        return CopiedForms({}, hidden=hidden)
    there = await _there(app, clone_map)
    now = app.clock.now()
    missing = [_copy(form, clone_map, now) for id, form in sources.items() if id not in there]
    if missing:
        await app.repos.forms.add(missing)
        there = await _there(app, clone_map)
    if lost := sorted(sources.keys() - there.keys()):
        raise Permanent(f"forms could not be copied, a unique index refuses them: {', '.join(lost)}", "form")
    new = {id: there.get(id.lower(), "") for id in mentioned}
    return CopiedForms(new, [f"form {id}: there is none in this account" for id in sorted(new) if not new[id]], hidden)


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


async def _there(app: App[FunnelRepos], clone_map: CloneMap) -> dict[str, str]:
    return {source.lower(): new for source, new in (await app.repos.forms.of_clone(clone_map.clone)).items()}


def _copy(form: Document, clone_map: CloneMap, now: object) -> dict[str, Any]:
    clone, source = clone_map.clone, str(form["form_secret_id"])
    return {
        **form,
        "_id": ObjectId(),
        "form_secret_id": clone_uuid(clone["_id"], source),
        "source_form_id": source,
        "account_id": clone["account_id"],
        "funnel_id": clone["_id"],
        "createdAt": now,
        "updatedAt": now,
    }
