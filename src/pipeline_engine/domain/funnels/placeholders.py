"""Makes the empty steps of a clone: records once which steps it will have, then makes each exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import clone_step_id
from pipeline_engine.domain.funnels.source import account_of, foreign_to
from pipeline_engine.errors import LeaseLost, Transient
from pipeline_engine.ids import object_id
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]

UNPROCESSED = {"images_processed": False, "forms_processed": False, "chat_plugin_processed": False}
PROCESSED = dict.fromkeys(UNPROCESSED, True)
# Fields of the source step that describe its own lease and cloning.
OWN_TO_SOURCE = {
    "lease_owner", "lease_until", "token", "attempts", "failures", "crashes", "last_error", "flag_seen_at",
    "clone_id", "clone_state", "clone_counts", "_id", "in_progress", "createdAt", "updatedAt",
}  # fmt: skip

# Fields that a clone fills itself.
OWN_TO_CLONE = {
    "account_id", "funnel_id", "original_step_id", "raw_html", "domain_id", "header_tracking_code",
    "footer_tracking_code", "version", "pending", "processed",
}  # fmt: skip


async def freeze_steps(app: App[FunnelRepos], held: Document, source: Document) -> Document:
    """Record in the funnel which steps the clone will have, in order. Steps added to the source later are left out.

    Returns the changed funnel. Raises: LeaseLost.
    """
    if _is_frozen(held["clone"]):
        return held
    account_id = account_of(held)
    steps = await app.repos.funnel_steps.of_source(source["_id"])
    foreign = [one["_id"] for one in await foreign_to(app, account_id, steps)]
    frozen = in_order(source.get("steps"), [one["_id"] for one in steps if one["_id"] not in foreign])
    values = {"clone.source_steps": frozen, "clone.steps_total": len(frozen), "clone.steps_done": 0}
    return _ours(await app.repos.funnels.change(held, values))


def _is_frozen(clone: Document) -> bool:
    """Whether the steps are recorded as the engine records them."""
    steps = clone.get("source_steps")
    return steps is not None and "steps_total" in clone and all(isinstance(id, ObjectId) for id in steps)


def in_order(listed: object, there: Sequence[ObjectId]) -> list[ObjectId]:
    """The ids in `there`, first in the order in which the funnel lists them, then those it does not list. Pure."""
    known = set(there)
    wanted = [id for one in _one_by_one(listed) if (id := object_id(one)) in known and id]
    return list(dict.fromkeys([*wanted, *there]))


def _one_by_one(listed: object) -> Iterator[object]:
    """What a list of steps contains. An older engine put lists into it, and it may name steps by their documents."""
    if isinstance(listed, list):
        for one in listed:
            yield from _one_by_one(one)
    else:
        yield listed.get("_id") if isinstance(listed, Mapping) else listed


async def make_placeholders(app: App[FunnelRepos], held: Document) -> Document:
    """Make the missing steps and components, and list the steps in the funnel.

    Returns the changed funnel. Raises: LeaseLost; Transient when another document has the id of a step.
    """
    sources: Sequence[ObjectId] = held["clone"]["source_steps"]
    await app.repos.funnel_steps.adopt(held, sources)
    there = {one["original_step_id"]: one["_id"] for one in await app.repos.funnel_steps.of_clone(held)}
    missing = [id for id in sources if id not in there]
    if missing:
        found = {one["_id"]: one for one in await app.repos.funnel_steps.of_source(held["original_funnel_id"])}
        now = app.clock.now()
        await app.repos.funnel_steps.add([placeholder(found.get(id, {"_id": id}), held, now) for id in missing])
        there = {one["original_step_id"]: one["_id"] for one in await app.repos.funnel_steps.of_clone(held)}
    if lost := [str(id) for id in sources if id not in there]:
        raise Transient(f"steps could not be made, something else has their ids: {', '.join(lost)}")
    steps = [there[id] for id in sources]
    await app.repos.components.prepare(held, steps, app.clock.now())
    await _clear_strays(app, held)
    return _ours(await app.repos.funnels.change(held, {"steps": steps}))


async def _clear_strays(app: App[FunnelRepos], held: Document) -> None:
    """Remove components that belong to duplicate steps of an older engine, where the step itself is gone."""
    if strays := await app.repos.components.find_strays(held):
        there = await app.repos.funnel_steps.existing(strays)
        await app.repos.components.remove_strays(held, [step for step in strays if step not in there])


def placeholder(source: Document, clone: Document, now: datetime) -> dict[str, Any]:
    """The step as the seed copies it: the source's fields, without its page and without what only the source owns.

    Pure.
    """
    return {
        **kept_fields(source),
        "_id": clone_step_id(clone["_id"], source["_id"]),
        "account_id": clone["account_id"],
        "funnel_id": clone["_id"],
        "original_step_id": source["_id"],
        "raw_html": None,
        "domain_id": None,
        "header_tracking_code": None,
        "footer_tracking_code": None,
        "version": int(now.timestamp() * 1000),
        "pending": True,
        "in_progress": False,
        "processed": dict(UNPROCESSED),
        "clone_id": clone["_id"],
        "clone_state": "open",
        "createdAt": now,
        "updatedAt": now,
    }


def kept_fields(step: Document) -> dict[str, Any]:
    """Those fields of a step, the source's or the clone's, that a clone keeps as its source has them. Pure."""
    own = OWN_TO_SOURCE | OWN_TO_CLONE
    return {name: value for name, value in step.items() if name not in own}


def _ours(changed: Document | None) -> Document:
    if changed is None:
        raise LeaseLost("the clone was taken over")
    return changed
