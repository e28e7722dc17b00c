"""Sets fields of the contact."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from pipeline_engine.domain.workflows.change_record import change_contact
from pipeline_engine.domain.workflows.step import StepConfig, StepPassed, StepRun
from pipeline_engine.ids import object_id
from pipeline_engine.repos.deal_change import DealChange

NOT_TO_BE_SET = frozenset({"_id", "account_id", "createdAt", "updatedAt", "events_due", "token", "lease_until"})
MAX_FIELDS = 50
REFERENCES = {
    **dict.fromkeys(("owner", "owner_id", "assigned_to", "followers"), "users"),
    "tags": "tags",
    "stage_id": "pipeline_stages",
    "pipeline_id": "pipelines",
}
"""By field of a contact, the collection of which it names documents."""


class FieldSetting(StepConfig):
    """Either one field with its value, or several: {name: value}. A dot leads into an object (`address.city`)."""

    field: str | None = None
    value: Any = None
    fields: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.field is None) == (not self.fields):
            raise ValueError("either field and value, or fields is wanted")
        if len(self.fields) > MAX_FIELDS:
            raise ValueError(f"fields: at most {MAX_FIELDS} are allowed")
        for name in self.all:
            parts = name.split(".")
            if not all(parts) or any(part.startswith("$") or "\0" in part for part in parts):
                raise ValueError(f"field: {name!r} is not the name of a field")
            if parts[0] in NOT_TO_BE_SET:
                raise ValueError(f"field: {parts[0]} cannot be set by a workflow")
        return self

    @property
    def all(self) -> dict[str, Any]:
        """{field: value}."""
        return self.fields or {str(self.field): self.value}


async def perform(run: StepRun, config: FieldSetting) -> StepPassed:
    await _check(run, config)
    is_so = {"$and": [{name: {"$eq": value}} for name, value in config.all.items()]}
    return await change_contact(run, DealChange(set=config.all), is_so, *config.all)


async def _check(run: StepRun, config: FieldSetting) -> None:
    """Raises: Permanent when a value is the id of another account's document, or of no user of this account."""
    for name, value in config.all.items():
        field = name.partition(".")[0]
        ids = [id for one in (value if isinstance(value, list) else [value]) if (id := object_id(one))]
        if ids and field in REFERENCES:
            await run.app.shared.references.check(REFERENCES[field], ids, run.account_id)


async def rehearse(run: StepRun, config: FieldSetting) -> str:
    await _check(run, config)
    run.records["contact"] = {**await run.contact(), **{n: v for n, v in config.all.items() if "." not in n}}
    return "would set " + ", ".join(f"{name} to {value!r}" for name, value in config.all.items())
