"""Adds tags to the contact, or removes them: ids or texts."""

from __future__ import annotations

from typing import Annotated, Any, Self

from bson import ObjectId
from pydantic import BeforeValidator, Field, model_validator

from pipeline_engine.domain.workflows.change_record import change_contact
from pipeline_engine.domain.workflows.step import Document, StepConfig, StepPassed, StepRun
from pipeline_engine.ids import forms_of, object_id
from pipeline_engine.repos.deal_change import DealChange

MAX_TAGS = 100


def _read_tag(value: object) -> Any:
    if isinstance(value, ObjectId) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError("an id or a text is wanted")


Tag = Annotated[Any, BeforeValidator(_read_tag)]


class Tagging(StepConfig):
    """Either one tag, by id or text, or several."""

    tag: Tag = None
    tag_id: Tag = None
    tags: list[Tag] = Field(default_factory=list)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len([one for one in (self.tag, self.tag_id, self.tags or None) if one is not None]) != 1:
            raise ValueError("exactly one of tag, tag_id and tags is wanted")
        if len(self.tags) > MAX_TAGS:
            raise ValueError(f"tags: at most {MAX_TAGS} are allowed")
        return self

    @property
    def all(self) -> list[Any]:
        """The tags."""
        return self.tags or [self.tag if self.tag is not None else self.tag_id]


async def add(run: StepRun, config: Tagging) -> StepPassed:
    await _check(run, config)
    has_all = {"$and": [{"tags": {"$in": forms_of(tag)}} for tag in config.all]}
    return await change_contact(run, DealChange(add={"tags": config.all}), has_all, "tags")


async def remove(run: StepRun, config: Tagging) -> StepPassed:
    has_none = {"tags": {"$nin": [form for tag in config.all for form in forms_of(tag)]}}
    return await change_contact(run, DealChange(remove={"tags": config.all}), has_none, "tags")


async def _check(run: StepRun, config: Tagging) -> None:
    """Raises: Permanent when a tag is another account's."""
    ids = [id for id in map(object_id, config.all) if id]
    await run.app.shared.references.check("tags", ids, run.account_id)


async def rehearse_add(run: StepRun, config: Tagging) -> str:
    await _check(run, config)
    contact = await run.contact()
    tags = _tags(contact)
    new = [object_id(tag) or tag for tag in config.all if not any(form in tags for form in forms_of(tag))]
    run.records["contact"] = {**contact, "tags": [*tags, *new]}
    return f"would add {_named(config)}"


async def rehearse_remove(run: StepRun, config: Tagging) -> str:
    contact = await run.contact()
    removed = [form for tag in config.all for form in forms_of(tag)]
    run.records["contact"] = {**contact, "tags": [tag for tag in _tags(contact) if tag not in removed]}
    return f"would remove {_named(config)}"


def _tags(contact: Document) -> list[Any]:
    tags = contact.get("tags")
    return tags if isinstance(tags, list) else []


def _named(config: Tagging) -> str:
    return ", ".join(map(str, config.all))
