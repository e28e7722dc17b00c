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
from pipeline_engine.domain.funnels.page import Mentions, Page, RewrittenPage
from pipeline_engine.domain.funnels.page_process import rewritten
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


@pytest.fixture(autouse=True)
def rewrites_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewrites in this process, not in the page process."""

    async def rewrite(_: App, page: Page, replacements: dict[str, str], chat_key: str | None) -> RewrittenPage:
        return rewritten(page, replacements, chat_key)

    monkeypatch.setattr("pipeline_engine.domain.funnels.relink.rewrite", rewrite)


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


@pytest.mark.covers("FC-15", "R-24")
async def test_what_a_form_says_of_the_funnel_leads_to_the_clone() -> None:
    def fields(funnel: object, step: ObjectId, form: str, other: str, key: str) -> dict[str, Any]:
        return {
            "redirect_url": f"https://crm.example/preview/{funnel}/{step}",
            "step_id": step,
            "html": f'<form action="/userform/{form}"><a href="/userform/{other}"><img src="/{key}"></form>',
            "fields": [{"a.b": 1, "go": [{"to": str(step)}]}],
        }

    forms = Forms({"form_secret_id": FORM, **fields(SOURCE, STEP, FORM, OTHER, KEY)}, {"form_secret_id": OTHER})
    outcome = await copied(forms, FORM, OTHER)

    copy = forms.copies[0]
    new = fields(CLONE, NEW_STEP, outcome.new[FORM], outcome.new[OTHER], CLONE_MAP.image_keys[KEY])
    assert {name: copy[name] for name in new} == new
    assert (copy["funnel_id"], copy["form_secret_id"]) == (CLONE, outcome.new[FORM])
    assert forms.all[0]["step_id"] == STEP


@pytest.mark.covers("R-24")
async def test_a_copy_has_neither_the_sheet_nor_the_submissions_of_its_source() -> None:
    sheet = {"spreadsheet_id": "1", "range": "A:B", "column_map": {"Mail": "email"}}
    forms = Forms({"form_secret_id": FORM, "google_sheet": sheet, "submissions": 42, "max_submissions": 100})
    for _ in range(2):  # an attempt that finds the copy there warns as well
        outcome = await copied(forms, FORM)
        assert outcome.warnings == [f"form {FORM}: its copy is not connected to the Google Sheet of the original"]
    (copy,) = forms.copies
    assert "google_sheet" not in copy
    assert (copy["submissions"], copy["max_submissions"]) == (0, 100)
    assert forms.all[0]["google_sheet"] == sheet
