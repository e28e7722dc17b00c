"""Values that are no pages (fields of steps and forms, what records say of images) lead to the clone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

import pytest
from bson import Code, Int64, ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.page import Page, RewrittenPage
from pipeline_engine.domain.funnels.page_process import rewritten
from pipeline_engine.domain.funnels.relink import relink

FUNNEL, NEW = "6b1111111111111111111111", "6b2222222222222222222222"
OLD_FOLDER, FOLDER = "7c9e6679-7425-40de-944b-e07fc1f90ae7", "11111111-2222-3333-4444-555555555555"
OTHER = ObjectId()
BUCKET = "https://s3.example/crm/"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.fixture(autouse=True)
def rewrites_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewrites in this process, not in the page process."""

    async def rewrite(_: App, page: Page, replacements: dict[str, str], chat_key: str | None) -> RewrittenPage:
        return rewritten(page, replacements, chat_key)

    monkeypatch.setattr("pipeline_engine.domain.funnels.relink.rewrite", rewrite)


async def relinked(value: Any, replacements: Mapping[str, str]) -> Any:
    new, left = await relink(cast("App", None), value, replacements)
    assert left == []
    return new


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("clip.mp4", "%2Fclip.mp4"),
        ("clip.mp4", "%2fclip.mp4"),
        ("a (1).png", "/a%20(1).png"),
        ("it's 2.png", "/it's%202.png"),
        ("a b@c.png", "/a%20b@c.png"),
        ("a b.png", "/a+b.png"),
        ("ö.png", "/%c3%b6.png"),
        ("ö & 1.png", "/" + quote("ö & 1.png")),
        ("ö & 1.png", "/ö & 1.png"),
    ],
)
@pytest.mark.covers("FC-14", "R-24")
async def test_an_address_leads_to_the_copy_however_it_spells_the_key(name: str, spelled: str) -> None:
    keys = {f"{OLD_FOLDER}/{name}": f"{FOLDER}/{name}"}
    about = {"bucket": "crm", "url": f"{BUCKET}{OLD_FOLDER}{spelled}", "ContentType": "image/png"}
    assert await relinked(about, keys) == {**about, "url": f"{BUCKET}{FOLDER}{spelled}"}


@pytest.mark.covers("FC-14")
async def test_an_address_of_a_copy_with_another_name_is_encoded_and_its_key_is_not() -> None:
    keys = {f"{OLD_FOLDER}/1.png": f"{FOLDER}/my photo ö.png"}
    new = await relinked({"url": f"{BUCKET}{OLD_FOLDER}/1.png", "key": f"{OLD_FOLDER}/1.png"}, keys)
    assert new == {"url": f"{BUCKET}{FOLDER}/my%20photo%20%C3%B6.png", "key": f"{FOLDER}/my photo ö.png"}


@pytest.mark.covers("R-24")
async def test_nested_values_and_object_ids_lead_to_the_clone_and_all_else_stays() -> None:
    def value(id: str, folder: str) -> Any:
        return {
            "next": ObjectId(id),
            "settings": [{"redirect": f"/preview/{id}/x"}, [f'{{"key":"{folder}\\/a.png"}}', f"\\{id}\n\t{id}"]],
            "variants": [{"url": f"{BUCKET}{folder}/a.png"}],
            "kept": [1, Int64(2), 0.5, None, True, NOW, b"x", "", 'é "\\', {}, [], Code(FUNNEL), OTHER],
        }

    keys = {FUNNEL: NEW, f"{OLD_FOLDER}/a.png": f"{FOLDER}/a.png"}
    new = await relinked(value(FUNNEL, OLD_FOLDER), keys)
    assert new == value(NEW, FOLDER)
    assert [type(one) for one in new["kept"]] == [type(one) for one in value(NEW, FOLDER)["kept"]]


@pytest.mark.covers("R-24")
async def test_what_is_left_is_named() -> None:
    encoded = "NmIxMTExMTExMTExMTExMTExMTExMTExIGFuZCBtb3JlIHRleHQ="  # the id and more text
    value, left = await relink(cast("App", None), {"a": [encoded]}, {FUNNEL: NEW})
    assert (value, left) == ({"a": [encoded]}, [FUNNEL])
