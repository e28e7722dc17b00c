"""What a step has besides its page leads to the clone as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap, clone_step_id, clone_uuid
from pipeline_engine.domain.funnels.page import Mentions, Page, RewrittenPage
from pipeline_engine.domain.funnels.page_process import mentions, rewritten
from pipeline_engine.domain.funnels.placeholders import kept_fields, placeholder
from pipeline_engine.domain.funnels.step_fields import relink_fields
from pipeline_engine.repos.funnel_repos import FunnelRepos

SOURCE, CLONE, HERE, NEXT, ACCOUNT, MADE = (ObjectId() for _ in range(6))
FORM, GONE = "eb3e1635-2267-5bcd-8b8e-d93bc58bd838", "85303470-21b3-55f8-a0cc-9817992d8724"
KEY = "7c9e6679-7425-40de-944b-e07fc1f90ae7/hero.png"
CLONE_MAP = CloneMap(
    clone={"_id": CLONE, "account_id": ACCOUNT},
    source={"_id": SOURCE, "account_id": ACCOUNT},
    account_id=ACCOUNT,
    parent=None,
    steps={step: clone_step_id(CLONE, step) for step in (HERE, NEXT)},
    images={KEY: {"key": KEY, "fileName": "hero.png"}},
    foreign=frozenset(),
)


@pytest.fixture(autouse=True)
def pages_are_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the page process."""

    async def look(_: App, page: Page, references: Sequence[str]) -> Mentions:
        return mentions(page, frozenset(references))

    async def rewrite(_: App, page: Page, replacements: dict[str, str], chat_key: str | None) -> RewrittenPage:
        return rewritten(page, replacements, chat_key)

    monkeypatch.setattr("pipeline_engine.domain.funnels.step_fields.look", look)
    monkeypatch.setattr("pipeline_engine.domain.funnels.relink.rewrite", rewrite)


class Forms:
    """A repo in which the clone has a copy of `FORM` already."""

    async def with_secrets(self, secret_ids: Sequence[str]) -> list[dict[str, Any]]:
        return [{"form_secret_id": FORM}] if FORM in secret_ids else []

    async def of_clone(self, _: Any) -> dict[str, str]:
        return {FORM: clone_uuid(CLONE, FORM)}


async def visible_to(_: ObjectId, accounts: set[ObjectId]) -> set[ObjectId]:
    return accounts


async def relinked(fields: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    source = {"_id": HERE, "funnel_id": SOURCE, "raw_html": f"<p>{SOURCE}</p>", "token": 3, **fields}
    step = placeholder(source, {"_id": CLONE, "account_id": ACCOUNT}, datetime(2026, 11, 26, tzinfo=UTC))
    assert kept_fields(step) == fields
    accounts = SimpleNamespace(visible_to=visible_to)
    app = SimpleNamespace(repos=SimpleNamespace(forms=Forms()), shared=SimpleNamespace(accounts=accounts))
    return await relink_fields(cast("App[FunnelRepos]", app), CLONE_MAP, step)


@pytest.mark.covers("FC-09", "FC-13", "R-24")
async def test_kept_fields_lead_to_the_clone() -> None:
    def fields(funnel: object, step: ObjectId, key: str, form: str) -> dict[str, Any]:
        return {
            "next_step_id": step,
            "settings": {"redirect": f"/preview/{funnel}/{step}", "og_image": f"https://s3.example/crm/{key}"},
            "thumbnail": key,
            "custom_css": f"#s{step} {{ background: url(/{key}) }}",
            "form_id": form,
            "popups": [{"url": f"https://crm.example/userform/{form}?x=1"}],
        }

    untouched = {"name": "Home", "slug": "home", "made_by": MADE, "visits": 3, "seo": {"a.b": [str(MADE)]}}
    changed, warnings = await relinked({**fields(SOURCE, NEXT, KEY, FORM), **untouched})

    new_key, new_form = CLONE_MAP.image_keys[KEY], clone_uuid(CLONE, FORM)
    assert changed == fields(CLONE, clone_step_id(CLONE, NEXT), new_key, new_form)
    assert warnings == []


@pytest.mark.covers("R-24")
async def test_what_no_update_can_name_stays() -> None:
    """MongoDB stores such names, but reads them as paths and operators in an update."""
    changed, _ = await relinked({"a.b": str(SOURCE), "$a": str(SOURCE), "": str(SOURCE), "c": {"a.b": str(SOURCE)}})
    assert changed == {"c": {"a.b": str(CLONE)}}


@pytest.mark.covers("FC-17", "R-24")
async def test_what_is_left_or_gone_is_said() -> None:
    encoded = f"x{KEY}"
    changed, warnings = await relinked({"seo": encoded, "form": f"/userform/{GONE}"})
    assert changed == {"form": "/userform/"}
    assert warnings == [
        f"form {GONE}: there is none in this account",
        f"{KEY}: fields of the step {HERE} still contain its id",
    ]
