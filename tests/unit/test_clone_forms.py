"""Which forms a clone copies, and what a copy keeps of its source."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap, clone_uuid
from pipeline_engine.domain.funnels.forms import CopiedForms, copy_forms
from pipeline_engine.domain.funnels.page import Mentions
from pipeline_engine.repos.funnel_repos import FunnelRepos

FORM, OTHER = "eb3e1635-2267-5bcd-8b8e-d93bc58bd838", "85303470-21b3-55f8-a0cc-9817992d8724"
KEY = "7c9e6679-7425-40de-944b-e07fc1f90ae7/a b.png"
NOW = datetime(2026, 11, 26, tzinfo=UTC)
SOURCE, CLONE, STEP, NEW_STEP, ACCOUNT = (ObjectId() for _ in range(5))
CLONE_MAP = CloneMap(
    clone={"_id": CLONE, "account_id": ACCOUNT},
    source={"_id": SOURCE, "account_id": ACCOUNT},
    account_id=ACCOUNT,
    parent=None,
    steps={STEP: NEW_STEP},
    images={KEY: {"key": KEY, "fileName": "a b.png"}},
    foreign=frozenset(),
)


class Forms:
    """As the repo of forms, over a list."""

    def __init__(self, *forms: dict[str, Any]) -> None:
        self.all = [{"_id": ObjectId(), "account_id": ACCOUNT, **form} for form in forms]

    async def with_secrets(self, secret_ids: Sequence[str]) -> list[dict[str, Any]]:
        return [form for form in self.all if form["form_secret_id"] in secret_ids]

    async def of_clone(self, _: Mapping[str, Any]) -> dict[str, str]:
        return {form["source_form_id"]: form["form_secret_id"] for form in self.copies}

    async def add(self, forms: Sequence[dict[str, Any]]) -> None:
        self.all += forms

    @property
    def copies(self) -> list[dict[str, Any]]:
        return [form for form in self.all if "source_form_id" in form]


async def visible_to(_: ObjectId, accounts: Collection[ObjectId]) -> set[ObjectId]:
    return set(accounts)


async def copied(forms: Forms, *mentioned: str) -> CopiedForms:
    accounts = SimpleNamespace(accounts=SimpleNamespace(visible_to=visible_to))
    app = SimpleNamespace(repos=SimpleNamespace(forms=forms), shared=accounts, clock=SimpleNamespace(now=lambda: NOW))
    seen = Mentions(references=frozenset(), forms=frozenset(mentioned), chat=False)
    return await copy_forms(cast("App[FunnelRepos]", app), CLONE_MAP, seen)


@pytest.mark.parametrize("stored", [FORM, FORM.upper()])
@pytest.mark.parametrize("written", [FORM, FORM.upper(), FORM[:20] + FORM[20:].upper()])
@pytest.mark.covers("FC-15", "FC-X13")
async def test_a_form_is_found_in_capitals_and_small_letters(stored: str, written: str) -> None:
    forms = Forms({"form_secret_id": stored})
    for _ in range(2):
        outcome = await copied(forms, written)
        assert (outcome.new, outcome.warnings) == ({written: clone_uuid(CLONE, stored)}, [])
    (copy,) = forms.copies
    assert copy["source_form_id"] == stored
