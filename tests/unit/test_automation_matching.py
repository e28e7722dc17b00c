"""The filters of an automation, read as sentences; tests/integration runs them on MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.automations.matching import flagged, fresh, others_first, present
from pipeline_engine.errors import Permanent

NOW = datetime(2026, 1, 10, 11, 30, tzinfo=UTC)
CREATED = datetime(2026, 1, 10, 9, 0, tzinfo=UTC)


def automation(**changes: object) -> Automation:
    document = {"_id": ObjectId(), "type": "email", "account_id": ObjectId(), "stage_id": ObjectId(), "delay": 3600}
    return read_automation({**document, "createdAt": CREATED, **changes})


def test_the_window_goes_from_creation_to_now_less_the_delay() -> None:
    window = present(automation(), NOW)["automation_starts"]
    assert window == {"$gte": CREATED, "$lte": NOW - timedelta(hours=1), "$not": {"$type": "array"}}


def test_deals_that_entered_before_it_was_switched_on_again_do_not_fire() -> None:
    again = CREATED + timedelta(hours=1)
    assert present(automation(active_from=again), NOW)["automation_starts"]["$gte"] == again


def test_a_watermark_narrows_the_window_but_never_widens_it() -> None:
    one = automation()
    later, earlier = CREATED + timedelta(minutes=5), CREATED - timedelta(minutes=5)
    assert fresh(one, NOW, later)["automation_starts"]["$gt"] == later
    assert fresh(one, NOW, earlier)["automation_starts"]["$gte"] == CREATED


def test_references_are_found_as_object_ids_and_as_strings() -> None:
    one = automation()
    assert present(one, NOW)["stage_id"] == {"$in": [one.stage_id, str(one.stage_id)]}
    assert flagged(one, NOW)["retry_automations"] == {"$in": [one.id, str(one.id)]}


def test_without_siblings_nothing_has_to_go_first() -> None:
    assert others_first([], NOW) == {}


@pytest.mark.parametrize("broken", [{"delay": -1}, {"delay": "soon"}, {"stage_id": None}, {"account_id": "x"}])
def test_a_malformed_automation_is_refused_by_name(broken: dict[str, object]) -> None:
    with pytest.raises(Permanent, match=r"delay|stage_id"):
        automation(**broken)


def test_an_edit_of_what_matters_changes_the_shape() -> None:
    one = automation()
    assert one.shape == read_automation(one.config).shape
    assert one.shape != read_automation({**one.config, "delay": 7200}).shape
