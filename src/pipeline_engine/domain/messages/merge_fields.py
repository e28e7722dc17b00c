"""The data that a template can name: `deal`, `contact`, `lead`, `account`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from pipeline_engine.logs import SECRET_NAMES

Document = Mapping[str, Any]
MergeFields = dict[str, Any]

# A field that a record may have is empty where it has none; a field that no such record has is a mistake in the
# template, and is refused as an unknown variable.
PERSON_FIELDS = ("name", "email", "phone")
RECORD_FIELDS = ("id", "_id", "account_id", "created_by", "createdAt", "updatedAt", "owner", "tags", "additional_info")
DEAL_FIELDS = (
    *RECORD_FIELDS,
    *("name", "value", "status", "contract_type", "source", "closed_at", "automation_starts"),
    *("pipeline_id", "stage_id", "followers", "contact_id", "contact_name", "contact_email", "contact_phone"),
    *("import_id", "import_row", "lead_id"),
)
CONTACT_FIELDS = (
    *RECORD_FIELDS,
    *(*PERSON_FIELDS, "company", "title", "status", "lifecycle_stage", "lead_score", "lead_grade"),
    *("intent_score", "intent_level", "manual_override", "status_changed_at", "enriched_at", "enriched", "timezone"),
)
LEAD_FIELDS = (
    *(*RECORD_FIELDS, *PERSON_FIELDS, "status", "company", "title", "source", "timezone"),
    *("pipeline_id", "stage_id"),
)
ACCOUNT_FIELDS = ("name", "timezone", "country", "active", "createdAt", "updatedAt")
FIELDS_OF = {"deal": DEAL_FIELDS, "contact": CONTACT_FIELDS, "lead": LEAD_FIELDS, "account": ACCOUNT_FIELDS}
"""By name of the record in a template, the fields that it may have."""
ENGINE_FIELDS = (
    *("automation_triggered", "automation_failed", "automation_generation"),
    *("skip_automations", "retry_automations"),
)


CONTACT_OF_DEAL = tuple(f"contact_{name}" for name in PERSON_FIELDS)
"""The fields of a deal that are its contact."""


class MergeRecords(TypedDict, total=False):
    """The records that one message is about."""

    deal: Document
    contact: Document
    lead: Document


def merge_fields(
    account: Document, *, deal: Document | None = None, contact: Document | None = None, lead: Document | None = None
) -> MergeFields:
    """`account`, `contact` and each given record, as plain data. `contact` is the person the message is about: the
    contact itself, else the lead, else the deal's `contact_*` fields."""
    fields: MergeFields = {"contact": _person(deal, contact, lead), "account": _account(account)}
    if deal is not None:
        fields["deal"] = {**_record(deal, DEAL_FIELDS), "additional_info": deal.get("additional_info", {})}
        fields["deal"]["value"] = _amount(deal.get("value"))
    if lead is not None:
        fields["lead"] = _record(lead, LEAD_FIELDS)
    return fields


def deal_fields(named: Mapping[str, Sequence[str] | None] | None) -> list[str] | None:
    """The fields of a deal that a message needs whose template names these fields by variable; None: all of them.

    `named` as `Renderer.names` returns it.
    """
    own = None if named is None else named.get("deal", ())
    # MongoDB reads a name with a dot as a path, and one with a dollar sign as an operator.
    if own is None or any(not name or "." in name or name.startswith("$") for name in own):
        return None
    return [*dict.fromkeys((*CONTACT_OF_DEAL, *own))]


def _person(deal: Document | None, contact: Document | None, lead: Document | None) -> dict[str, Any]:
    if contact is not None:
        return _record(contact, CONTACT_FIELDS)
    if lead is not None:
        return {name: lead.get(name) for name in PERSON_FIELDS}
    return {name: (deal or {}).get(f"contact_{name}") for name in PERSON_FIELDS}


def _record(record: Document, known: tuple[str, ...]) -> dict[str, Any]:
    """All fields of the record but the engine's own; `known` ones and `tags` are there in any case."""
    own = {name: value for name, value in record.items() if name not in ENGINE_FIELDS}
    return {**dict.fromkeys(known), "tags": [], **own, "id": record["_id"]}


def _amount(value: object) -> object:
    """A whole number as a float: floats are printed in the account's format, which is not for ids and years."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53 else value


def _account(account: Document) -> dict[str, Any]:
    """The account's simple fields without those that sound like a secret: a person who may write templates may not read
    the account's keys."""
    simple = (str, int, float, bool, datetime)
    own = {name: value for name, value in account.items() if isinstance(value, simple)}
    return {
        **dict.fromkeys(ACCOUNT_FIELDS),
        **{name: value for name, value in own.items() if not SECRET_NAMES.search(name)},
    }
