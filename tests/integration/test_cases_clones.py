"""The situations of tests/cases that speak of funnel clones, after public bug reports, come out as a user expects."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from unicodedata import normalize
from urllib.parse import quote

import pytest
from bson import ObjectId

from tests.integration.conftest import RunClones
from tests.support.cases import FOLDER, plant, read
from tests.support.funnels import components_of, forms_of, funnel_of, images_of, steps_of
from tests.support.world import World

CLONE = ObjectId("66c0f000000000000000f002")
CASES = sorted(path.name for path in FOLDER.iterdir() if 32 <= int(path.name[:2]) <= 41)


def json_text(text: str) -> str:
    return json.dumps(text)[1:-1]


SPELLED: dict[str, Callable[[str], str]] = {
    "raw": str,
    "pct": quote,
    "pct-paren": lambda text: quote(text, "/()"),
    "pct-plus": lambda text: quote(text, "/+"),
    "pct-lower": lambda text: re.sub("%..", lambda escape: escape[0].lower(), quote(text)),
    "pct-all": lambda text: quote(text, ""),
    "pct2-all": lambda text: quote(quote(text, ""), ""),
    "plus": lambda text: quote(text).replace("%20", "+"),
    "html": html.escape,
    "json": json_text,
    "json-slash": lambda text: json_text(text).replace("/", "\\/"),
    "json-u002f": lambda text: json_text(text).replace("/", "\\u002F"),
    "ent-slash": lambda text: text.replace("/", "&#x2F;"),
    "css": lambda text: re.sub(r"([ ()'\",])", r"\\\1", text),
    "nfc": lambda text: normalize("NFC", text),
    "nfc-pct": lambda text: quote(normalize("NFC", text)),
    "upper": str,  # or in capitals
}


def new_of(world: World, old: dict[str, str]) -> dict[str, str]:
    """{name: the reference of the clone}; '' for what was not copied."""
    by_old = {key: one["key"] for key, one in images_of(world, CLONE).items()}
    by_old |= {one["source_form_id"]: one["form_secret_id"] for one in forms_of(world, CLONE)}
    by_old |= {str(one["original_step_id"]): str(one["_id"]) for one in steps_of(world, CLONE)}
    return {name: str(CLONE) if name == "FUNNEL" else by_old.get(one, "") for name, one in old.items()}


def filled(template: str, new: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\|([\w-]+)\}\}", lambda gap: SPELLED[gap[2]](new[gap[1]]), template)


def with_files(case: str, value: Any) -> Any:
    """The value with the text of each file that it names."""
    return (FOLDER / case / value[1:]).read_text() if isinstance(value, str) and value.startswith("@") else value


def begin(world: World, case: str) -> None:
    plant(case, world.db)
    for collection, field in (("funnel.step", "raw_html"), ("funnel.step.components", "components")):
        for one in list(world.db[collection].find()):
            world.db[collection].update_one({"_id": one["_id"]}, {"$set": {field: with_files(case, one[field])}})
    for one in read(case, "objects.json").values():
        world.upload(one["s3_key"], one["body_text"].encode())


@pytest.mark.parametrize("case", CASES)
async def test_a_clone_leads_to_itself(world: World, run_clones: RunClones, case: str) -> None:
    begin(world, case)
    expected = read(case)

    assert (await run_clones()).succeeded == 1

    funnel, new = funnel_of(world, CLONE), new_of(world, expected["old"])
    warnings = funnel["clone"]["warnings"]
    assert (funnel["pending"], funnel["in_progress"], funnel["clone"]["error"]) == (False, False, None)
    for source, image in images_of(world, CLONE).items():
        assert world.download(image["key"]) == read_object(case, source)
    for number, step in enumerate(steps_of(world, CLONE), 1):
        pages = FOLDER / case / "expected"
        template = (pages / f"page{number}.html").read_text()
        if case.startswith("33"):  # K1 has another Unicode form than its object: emptied, with its name in a warning
            template = template.replace("https://s3.vault.example/crm/{{K1|pct}}", "")
            assert any("Übersicht" in one for one in warnings)
        assert step["raw_html"] == filled(template, new)
        components = components_of(world, step)["components"]
        assert json.loads(components) == json.loads(filled((pages / f"components{number}.json").read_text(), new))
    assert bool(warnings) == case.startswith(("33", "37"))
    if case.startswith("37"):
        assert {one.split(":")[0] for one in warnings} >= {expected["old"]["F1"]}


def read_object(case: str, key: str) -> bytes:
    (body,) = (one["body_text"] for one in read(case, "objects.json").values() if one["s3_key"] == key)
    return str(body).encode()
