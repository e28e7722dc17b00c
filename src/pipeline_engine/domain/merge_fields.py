"""What a template can say: the deal, its contact, its account. Plain data only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline_engine.logs import SECRET_NAMES

# A field that a deal may have is empty when it has none; a field that no deal has is a mistake in the template.
DEAL = dict.fromkeys(
    ("name", "value", "status", "contract_type", "source", "owner", "createdAt", "updatedAt", "automation_starts")
)
OURS = ("automation_triggered", "automation_failed", "automation_generation", "skip_automations", "retry_automations")
ACCOUNT: dict[str, Any] = dict.fromkeys(("name", "timezone"))


def merge_fields(deal: Mapping[str, Any], account: Mapping[str, Any]) -> dict[str, Any]:
    """{deal, contact, account} for one message."""
    told = {name: value for name, value in deal.items() if name not in OURS}
    return {
        "deal": {**DEAL, "tags": [], "additional_info": {}, **told, "id": deal["_id"]},
        "contact": {name: deal.get(f"contact_{name}") for name in ("name", "email", "phone")},
        "account": {**ACCOUNT, **account_fields(account)},
    }


def account_fields(account: Mapping[str, Any]) -> dict[str, Any]:
    """The account's simple fields, but nothing that sounds like a secret: whoever may write templates may not read its
    keys."""
    simple = (str, int, float, bool, datetime)
    return {
        name: value for name, value in account.items() if isinstance(value, simple) and not SECRET_NAMES.search(name)
    }
