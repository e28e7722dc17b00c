"""What the actions of a stage may say, and how each mistake is answered."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.leads.config import (
    CONTINUE,
    READERS,
    STOP,
    ActionConfig,
    Branch,
    EmailConfig,
    MoveConfig,
    NoteConfig,
    OwnerConfig,
    ResponseConfig,
    SmsConfig,
    TagsConfig,
    TaskConfig,
    fault_of,
    read_config,
    references_of,
)
from pipeline_engine.domain.leads.waits import WaitBusinessDays, WaitSeconds, WaitUntil
from pipeline_engine.errors import Permanent

ID, OTHER = ObjectId(), ObjectId()
MINUTE = timedelta(minutes=1)


def read(type: str, **config: Any) -> ActionConfig:
    return read_config({"type": type, "sequence_number": 3, "config": config})


def error(type: object, config: object) -> str:
    with pytest.raises(Permanent) as raised:
        read_config({"type": type, "sequence_number": 3, "config": config})
    assert raised.value.code == "bad_action"
    return str(raised.value)


GOOD: list[tuple[str, dict[str, Any], ActionConfig]] = [
    ("email", {"email_template_id": ID}, EmailConfig(ID)),
    ("email", {"email_template_id": str(ID)}, EmailConfig(ID)),
    ("sms", {"sms_template_id": ID}, SmsConfig(ID, None)),
    ("sms", {"message": "Hello", "sms_template_id": None}, SmsConfig(None, "Hello")),
    ("note", {"note": "Seen"}, NoteConfig("Seen")),
    ("add_tag", {"tag": ID}, TagsConfig((ID,))),
    ("remove_tag", {"tags": [ID, "hot"]}, TagsConfig((ID, "hot"))),
    ("owner", {"owner_id": ID}, OwnerConfig(ID)),
    ("move", {"stage_id": ID}, MoveConfig(ID, None)),
    ("move", {"outcome": "lost"}, MoveConfig(None, "lost")),
    ("wait", {"seconds": 60}, WaitSeconds(MINUTE)),
    ("wait", {"seconds": " 3600 "}, WaitSeconds(60 * MINUTE)),
    ("wait", {"seconds": "1.5"}, WaitSeconds(timedelta(seconds=1.5))),
    ("wait", {"business_days": "2"}, WaitBusinessDays(2)),
    ("move", {"outcome": " Won"}, MoveConfig(None, "won")),
    (
        "wait_for_response",
        {"timeout_seconds": "60", "channel": "SMS", "on_response": "Stop", "on_timeout": "Continue "},
        ResponseConfig("sms", MINUTE, STOP, CONTINUE),
    ),
    ("wait", {"seconds": 1.5}, WaitSeconds(timedelta(seconds=1.5))),
    ("wait", {"until": "09:30"}, WaitUntil(time(9, 30))),
    ("wait", {"until": "00:00", "weekdays": [1, 5.0], "zone": "lead"}, WaitUntil(time(0), frozenset({1, 5}), "lead")),
    ("wait", {"business_days": 2}, WaitBusinessDays(2)),
    ("wait", {"business_days": 2.0, "zone": "lead"}, WaitBusinessDays(2, "lead")),
    ("wait_for_response", {"timeout_seconds": 60}, ResponseConfig("any", MINUTE, CONTINUE, CONTINUE)),
    (
        "wait_for_response",
        {"channel": "sms", "timeout_seconds": 60, "on_response": {"move": ID}, "on_timeout": "stop"},
        ResponseConfig("sms", MINUTE, Branch("move", ID), STOP),
    ),
    ("task", {"title": "Call", "timeout_seconds": 60}, TaskConfig("Call", timedelta(0), MINUTE, CONTINUE)),
    (
        "task",
        {"title": "Call", "due_in_seconds": 60, "timeout_seconds": 60, "on_timeout": {"move": str(ID)}},
        TaskConfig("Call", MINUTE, MINUTE, Branch("move", ID)),
    ),
]


@pytest.mark.covers("LP-01", "LP-05")
@pytest.mark.parametrize(("type", "config", "expected"), GOOD)
def test_what_is_allowed_is_read(type: str, config: dict[str, Any], expected: ActionConfig) -> None:
    assert read(type, **config) == expected


def test_every_type_is_among_the_examples() -> None:
    assert {type for type, _, _ in GOOD} == set(READERS)


def test_an_error_says_which_action_and_option_what_was_given_and_what_is_allowed() -> None:
    assert error("wait", {"seconds": -1}) == (
        "action 3 (wait): seconds: given -1: a number of seconds from 1 to 315,360,000 (ten years) is allowed"
    )
    assert error("move", {"outcome": "sold"}) == "action 3 (move): outcome: given 'sold': won or lost is allowed"
    assert error("email", {}) == "action 3 (email): email_template_id: given nothing: an id of 24 hex digits is allowed"


def test_an_option_that_the_type_does_not_have_is_refused() -> None:
    assert error("wait", {"minutes": 5, "seconds": 1}) == (
        "action 3 (wait): minutes: no such option; allowed: seconds, until, weekdays, business_days, zone"
    )


@pytest.mark.parametrize("type", sorted(READERS))
def test_every_type_refuses_an_option_that_it_does_not_have(type: str) -> None:
    good = next(config for one, config, _ in GOOD if one == type)
    assert "colour: no such option" in error(type, {**good, "colour": "red"})


def test_an_option_that_does_not_go_with_the_other_is_refused() -> None:
    assert "zone: no such option" in error("wait", {"seconds": 1, "zone": "lead"})
    assert "weekdays: no such option" in error("wait", {"business_days": 1, "weekdays": [1]})


def test_of_two_options_exactly_one_is_wanted() -> None:
    assert error("move", {"stage_id": ID, "outcome": "won"}) == (
        "action 3 (move): stage_id or outcome: given stage_id and outcome: exactly one is allowed"
    )
    assert "seconds or until or business_days: given none of them" in error("wait", {})


def test_an_unknown_type_is_refused_by_name() -> None:
    assert error("fax", {}).startswith("action 3 (fax): no such type of action; allowed: email, sms, note")
    assert "no such type" in error(["email"], {})
    assert error("wait", [1]) == "action 3 (wait): config: given [1]: an object is allowed"


@pytest.mark.parametrize(
    ("type", "config", "option"),
    [
        ("wait", {"seconds": float("nan")}, "seconds"),
        ("wait", {"seconds": True}, "seconds"),
        ("wait", {"seconds": 0}, "seconds"),
        ("wait", {"seconds": "0"}, "seconds"),
        ("wait", {"seconds": "1 h"}, "seconds"),
        ("wait", {"seconds": "1,5"}, "seconds"),
        ("wait", {"seconds": "1e3"}, "seconds"),
        ("wait", {"seconds": "9" * 400}, "seconds"),
        ("wait", {"seconds": 10**12}, "seconds"),
        ("wait", {"until": "25:00"}, "until"),
        ("wait", {"until": "9:00"}, "until"),
        ("wait", {"until": "0900Z"}, "until"),
        ("wait", {"until": 9}, "until"),
        ("wait", {"until": "09:00", "weekdays": []}, "weekdays"),
        ("wait", {"until": "09:00", "weekdays": [0]}, "weekdays"),
        ("wait", {"until": "09:00", "weekdays": [8]}, "weekdays"),
        ("wait", {"until": "09:00", "weekdays": [1.5]}, "weekdays"),
        ("wait", {"until": "09:00", "weekdays": "Mon"}, "weekdays"),
        ("wait", {"until": "09:00", "zone": "UTC"}, "zone"),
        ("wait", {"business_days": 0}, "business_days"),
        ("wait", {"business_days": 1.5}, "business_days"),
        ("wait", {"business_days": "1.5"}, "business_days"),
        ("wait", {"business_days": float("inf")}, "business_days"),
        ("wait_for_response", {}, "timeout_seconds"),
        ("wait_for_response", {"timeout_seconds": 1, "channel": "fax"}, "channel"),
        ("wait_for_response", {"timeout_seconds": 1, "on_response": "go"}, "on_response"),
        ("wait_for_response", {"timeout_seconds": 1, "on_timeout": {"move": "x"}}, "on_timeout"),
        ("wait_for_response", {"timeout_seconds": 1, "on_timeout": {"move": ID, "and": 1}}, "on_timeout"),
        ("task", {"title": " ", "timeout_seconds": 1}, "title"),
        ("note", {"note": 5}, "note"),
        ("add_tag", {"tags": []}, "tags"),
        ("add_tag", {"tags": ["a", {}]}, "tags"),
        ("add_tag", {"tag": ["a"]}, "tag"),
        ("owner", {"owner_id": "me"}, "owner_id"),
        ("sms", {"message": ""}, "message"),
    ],
)
def test_a_mistake_is_answered_by_the_name_of_the_option(type: str, config: dict[str, Any], option: str) -> None:
    assert error(type, config).startswith(f"action 3 ({type}): {option}: given ")


def test_a_long_value_is_shown_by_its_beginning() -> None:
    assert len(error("note", {"note": ["x" * 10_000]})) < 200


def test_the_fault_of_an_action_is_its_error_and_a_good_one_has_none() -> None:
    assert fault_of({"type": "note", "config": {"note": "x"}}) is None
    assert str(fault_of({"type": "note"})).startswith("action ? (note): note: given nothing")


def test_what_an_action_points_at_is_named_by_collection() -> None:
    assert references_of(read("email", email_template_id=ID)) == {"email_templates": [ID]}
    assert references_of(read("sms", message="x")) == {}
    assert references_of(read("sms", sms_template_id=ID)) == {"sms_templates": [ID]}
    assert references_of(read("add_tag", tags=[ID, "hot"])) == {"tags": [ID]}
    assert references_of(read("owner", owner_id=ID)) == {"users": [ID]}
    assert references_of(read("move", stage_id=ID)) == {"pipeline_stages": [ID]}
    assert references_of(read("move", outcome="won")) == {}
    both = read("wait_for_response", timeout_seconds=1, on_response={"move": ID}, on_timeout={"move": OTHER})
    assert references_of(both) == {"pipeline_stages": [ID, OTHER]}
    task = read("task", title="x", timeout_seconds=1, on_timeout={"move": ID})
    assert references_of(task) == {"pipeline_stages": [ID]}
    assert references_of(read("wait", seconds=1)) == {}


texts = st.text("movec09: ", max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
OPTIONS = sorted({name for _, config, _ in GOOD for name in config})


@given(st.sampled_from(sorted(READERS)), st.dictionaries(st.sampled_from(OPTIONS), values, max_size=4))
def test_whatever_a_config_holds_it_is_read_or_refused(type: str, config: dict[str, Any]) -> None:
    fault = fault_of({"type": type, "sequence_number": 1, "config": config})
    assert fault is None or fault.startswith(f"action 1 ({type}): ")
