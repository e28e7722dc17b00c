"""Compares what an import has made of a file with what a case of tests/cases expects of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from tests.support.world import World

Document = Mapping[str, Any]


def fits(expected: Any, found: Any) -> bool:
    """Whether a value is the expected one, or one of those that the notation of the cases allows."""
    match expected:
        case {"one_of": several}:
            return found in several
        case {"between": [least, most]}:
            return bool(least <= found <= most)
        case {"empty": True}:
            return found in (None, "")
        case {"same_ignoring_case": text}:
            return str(found).casefold() == str(text).casefold()
        case dict():
            return all(fits(value, (found or {}).get(name)) for name, value in expected.items())
        case str() if expected.startswith("== "):
            return True  # compared by `_check_queue`
    return bool(found == expected)


def check_run(world: World, queue_id: ObjectId, run: Document) -> None:
    """Return if the import came out as the case says, or in a way that the case tolerates."""
    queue = world.import_of(queue_id)
    tolerated = run.get("tolerated", {})
    if "rows_failed" in tolerated and queue["progress"]["rows_failed"]:
        assert queue["progress"]["rows_failed"] == tolerated["rows_failed"]
        _check_errors(world, queue_id, tolerated["errors"])
        return
    _check_queue(queue, run)
    _check_deals(world, queue_id, run)
    if "errors" in run:
        _check_errors(world, queue_id, run["errors"])
    if "error_csv" in run:
        _check_error_csv(world, queue_id, run["error_csv"])


def _check_queue(queue: Document, run: Document) -> None:
    for name, value in run["queue"].items():
        assert fits(value, queue[name]), (name, value, queue[name], queue.get("error"))
    progress = queue["progress"]
    assert progress["bytes_read"] == progress["bytes_total"]
    assert progress["rows_read"] == sum(progress[f"rows_{name}"] for name in ("added", "updated", "skipped", "failed"))
    assert fits(run.get("dialect", {}), queue["dialect"])


def _check_deals(world: World, queue_id: ObjectId, run: Document) -> None:
    stages = world.stage_names()
    deals = [
        {**deal, "stage": stages.get(deal["stage_id"]) if "stage_id" in deal else None}
        for deal in world.deals_of(queue_id)
    ]
    if "deals" in run:
        assert [deal["name"] for deal in deals] == [one["name"] for one in run["deals"]]
        for deal, expected in zip(deals, run["deals"], strict=True):
            for name, value in expected.items():
                assert fits(value, deal.get(name)), (deal["name"], name, value, deal.get(name))
    for name, digits in run.get("phone_digits_of_stored_value", {}).items():
        phone = next(deal["contact_phone"] for deal in deals if deal["name"] == name)
        assert re.sub(r"\D", "", phone) in digits, (name, phone)
        assert not any(unicodedata.category(letter) == "Cf" or letter == "\u00a0" for letter in phone)


def _check_errors(world: World, queue_id: ObjectId, expected: Any) -> None:
    found = world.report_of(queue_id)["logs"]
    if isinstance(expected, dict):
        assert {error["position"] for error in found} <= set(expected["only_positions"])
        return
    places = [{name: error[name] for name in ("position", "line", "column", "row")} for error in found]
    for error, one in zip(places, expected, strict=True):
        for name in ("position", "line", "column"):
            assert error[name] == one.get(name, error[name])
        assert set(one.get("row_has", ())) <= set(error["row"])


def _check_error_csv(world: World, queue_id: ObjectId, expected: Document | None) -> None:
    key = world.import_of(queue_id)["error_csv_key"]
    assert (key is None) == (expected is None)
    if expected:
        records = world.error_csv_of(queue_id)
        assert len(records) == expected["records"]
        assert list(records[0])[: len(expected["header_begins"])] == expected["header_begins"]
