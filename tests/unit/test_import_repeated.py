"""Rows whose deal the account has are found in the spelling in which the deal is kept."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.csv.row import Row
from pipeline_engine.domain.imports.repeated import find_repeated

STORED = [{"name": "Acme Inc"}, {"name": "Slate"}]


async def like(_account: ObjectId, fields: Sequence[str], values: Sequence[str]) -> list[dict[str, str]]:
    """As MongoDB finds them: the same text, without case."""
    wanted = {value.lower() for value in values}
    return [deal for deal in STORED if deal[fields[0]].lower() in wanted]


@pytest.mark.parametrize("name", ["Acme Inc", "ACME INC", "Acme  Inc", "Acme\u00a0Inc", "Acme\u200b Inc"])
async def test_blanks_that_look_alike_do_not_make_another_name(name: str) -> None:
    request = SimpleNamespace(unique_by=("name",), account_id=ObjectId(), id=ObjectId())
    app: Any = SimpleNamespace(repos=SimpleNamespace(deals=SimpleNamespace(like=like)))
    context: Any = SimpleNamespace(request=request)
    names = [name, "Other", f"{name} ", "Slate 2"]
    rows = [Row(row, row + 1, {"name": name}, "", []) for row, name in enumerate(names, 1)]

    assert await find_repeated(app, context, rows) == {1, 3}
