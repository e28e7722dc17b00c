"""Keys, waves, scores, payloads and log entries of CRM events, without servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from pipeline_engine.domain.activity_log.entry import entry_of
from pipeline_engine.domain.consumers import reactions
from pipeline_engine.domain.consumers.order import key_of, split_blocked, waves
from pipeline_engine.domain.consumers.reactions.owner import allotment
from pipeline_engine.domain.consumers.table import CONSUMERS
from pipeline_engine.domain.events.jobs import ACTIVITY_LOG, CONSUME, CRM_EVENTS, WEBHOOKS, WORKFLOW_BRIDGE, tune
from pipeline_engine.domain.events.payloads import PAYLOADS, read_payload
from pipeline_engine.domain.events.publisher import MAX_CAUSE_DEPTH, caused_by, check_depth
from pipeline_engine.domain.events.units import account_units, event_units
from pipeline_engine.domain.scoring import intent_level, intent_score
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.crm_events import restricted_to
from pipeline_engine.repos.event_order import place_of
from pipeline_engine.settings import load

NOW = datetime(2026, 1, 10, tzinfo=UTC)
ID = ObjectId("64b000000000000000000001")


def event(id: object, at: int = 0, **fields: Any) -> dict[str, Any]:
    return {"_id": id, "occurred_at": NOW + timedelta(seconds=at), **fields}


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"key": "mine", "data": {"contact_id": ID}}, "key:mine"),
        ({"data": {"contact_id": ID, "deal_id": "d"}}, f"cont:{ID}"),
        ({"data": {"contactId": str(ID)}}, f"cont:{ID}"),
        ({"data": {"deal_id": "d"}}, "deal:d"),
        ({"data": {"leadId": "l"}}, "lead:l"),
        ({"data": {"contact_id": ["odd"]}}, "event:e"),
        ({"data": [1, 2]}, "event:e"),
        ({"data": None, "key": 7}, "key:7"),
        ({"data": {"contact_id": "c"}, "key": ID}, f"key:{ID}"),
        ({"key": True}, "event:e"),
        ({"key": ""}, "event:e"),
        ({}, "event:e"),
    ],
)
def test_the_key_is_given_or_the_first_record_that_the_data_names(fields: dict[str, Any], key: str) -> None:
    assert key_of(event("e", **fields)) == key


def test_events_come_in_order_of_their_time_and_those_without_a_time_first() -> None:
    odd = {"_id": "odd", "occurred_at": DatetimeMS(10**15)}
    none, text = {"_id": "none"}, {"_id": "text", "occurred_at": "yesterday"}
    some = [event("b", 1), event(ObjectId(), 0), event("a", 1), event("z", 0), odd, none, text]

    ordered = [one["_id"] for one in sorted(some, key=place_of)]

    assert ordered == ["none", "text", "z", some[1]["_id"], "a", "b", "odd"]


def test_waves_hold_each_key_once_and_keep_the_order_of_every_key() -> None:
    keys = "aabacb"
    some = [event(n, n, key=key) for n, key in enumerate(keys)]

    groups = waves(some)

    assert [[one["_id"] for one in group] for group in groups] == [[0, 2, 4], [1, 5], [3]]


def test_only_later_events_of_a_failing_key_are_blocked() -> None:
    until = NOW + timedelta(seconds=30)
    failing = [{**event("f", 5), "failing_key": "key:a", "next_at": until}]
    some = [event("before", 4, key="a"), event("behind", 6, key="a"), event("other", 7, key="b")]

    free, blocked = split_blocked(some, failing)

    assert ([one["_id"] for one in free], blocked) == (["before", "other"], {until: ["behind"]})


def test_members_take_turns_from_the_one_behind_the_last() -> None:
    contacts = [ObjectId() for _ in range(4)]

    def turns(last: object) -> list[str]:
        return [pair["owner"] for pair in allotment(contacts, ["a", "c", "e"], last)]

    assert turns(None) == ["a", "c", "e", "a"]
    assert turns("a") == ["c", "e", "a", "c"]
    assert turns("d") == ["e", "a", "c", "e"]  # the last one has left the team
    assert turns("e") == ["a", "c", "e", "a"]


def test_intent_fades_by_whole_days_and_odd_signals_count_nothing() -> None:
    def left(days: float, points: object = 20) -> float:
        return intent_score([{"points": points, "occurred_at": NOW - timedelta(days=days)}], NOW, 2.0)

    assert [left(0.9), left(1), left(3.5), left(30), left(-5)] == [20, 18, 14, 0, 20]
    assert [left(0, one) for one in ("many", None, True, -5, float("nan"))] == [0] * 5
    assert intent_score([{"points": 5}, {"points": 3, "occurred_at": DatetimeMS(10**15)}], NOW, 2.0) == 8


def test_levels_are_the_accounts_or_the_usual_ones() -> None:
    assert [intent_level(score, {}) for score in (50, 49, 20, 19)] == ["high", "medium", "medium", "low"]
    assert intent_level(30, {"intent_levels": {"high": 30, "medium": "odd"}}) == "high"


@pytest.mark.covers("CL-07")
def test_a_payload_keeps_unknown_fields_and_reads_the_seeds_spelling() -> None:
    given = {"contactId": str(ID), "workspaceId": "w", "userId": "u", "source": "import", "timestamp": "2026"}

    read = read_payload("contact.created", given)

    assert (read.contact_id, read.model_extra) == (str(ID), {"workspaceId": "w", "userId": "u", "timestamp": "2026"})


@pytest.mark.covers("CL-07")
@pytest.mark.parametrize(
    ("type", "data", "said"),
    [
        ("contact.created", {}, "data.contact_id"),
        ("contact.created", {"contact_id": {"$gt": ""}}, "data.contact_id"),
        ("deal.won", {"deal_id": ""}, "data.deal_id"),
        ("contact.created", ["a list"], "no object"),
        ("my.own", None, "no object"),
        ("deal.lost", {"deal_id": None}, "data.deal_id"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_by_field(type: str, data: object, said: str) -> None:
    for strict in (False, True):
        with pytest.raises(Permanent, match=said) as caught:
            read_payload(type, data, strict=strict)
        assert caught.value.code == "payload"


OTHER = ObjectId("64b000000000000000000002")
ODD: list[tuple[str, dict[str, Any], str, object]] = [
    ("email.replied", {"message_id": ID}, "message_id", str(ID)),
    ("email.replied", {"message_id": 7}, "message_id", None),
    ("email.replied", {"message_id": ["a"], "contact_id": ID}, "contact_id", str(ID)),
    ("deal.stage_changed", {"deals": None, "deal_id": ID}, "deals", []),
    ("deal.stage_changed", {"deals": [7]}, "deals", []),
    ("form.submitted", {"contact_id": ""}, "contact_id", None),
    ("form.submitted", {"form_id": 7, "contactId": ID}, "contact_id", str(ID)),
    ("contact.created", {"contact_id": ID, "source": {"a": 1}}, "source", None),
    ("contact.created", {"contact_id": None, "contactId": ID}, "contact_id", str(ID)),
    ("page.viewed", {"contact_id": "", "contactId": ID}, "contact_id", str(ID)),
    ("page.viewed", {"contact_id": ID, "contactId": OTHER}, "contact_id", str(ID)),
    ("my.own", {"lead_id": {"$gt": ""}}, "lead_id", None),
]


@pytest.mark.parametrize(("type", "data", "field", "read"), ODD, ids=repr)
def test_an_optional_field_that_cannot_be_used_counts_as_absent(
    type: str, data: dict[str, Any], field: str, read: object
) -> None:
    assert getattr(read_payload(type, data, 1.0), field) == read


@pytest.mark.parametrize(
    ("type", "data", "said"),
    [
        ("form.submitted", {"contact_id": ""}, "data.contact_id"),
        ("form.submitted", {"form_id": 7}, "data.form_id"),
        ("email.replied", {"message_id": 7}, "data.message_id"),
        ("deal.stage_changed", {"deals": ["d", *[0] * 1000]}, "^deal.stage_changed: data.deals.1: [^;]*$"),
    ],
)
def test_a_publisher_has_such_a_field_refused(type: str, data: dict[str, Any], said: str) -> None:
    with pytest.raises(Permanent, match=said) as caught:
        read_payload(type, data, strict=True)
    assert caught.value.code == "payload"


def test_types_of_the_tenant_may_have_any_data_and_versions_are_whole_numbers() -> None:
    assert read_payload("my.own", {"anything": [1]}).model_extra == {"anything": [1]}
    assert {"contact.created", "email.received", "email.replied", "deal.stage_changed"} <= PAYLOADS.keys()
    for version in ("1", 0, True, 1.5, float("nan"), float("inf")):
        with pytest.raises(Permanent):
            read_payload("my.own", {}, version)


def test_a_chain_of_causes_ends() -> None:
    chain: dict[str, Any] = {"_id": "0"}
    for n in range(MAX_CAUSE_DEPTH):
        chain = {"_id": str(n + 1), "cause": caused_by(chain)}
        check_depth(chain)
    with pytest.raises(Permanent) as caught:
        check_depth({"cause": caused_by(chain)})
    assert caught.value.code == "cause_depth"


def test_an_entry_says_who_did_what_to_what() -> None:
    account = ObjectId()
    given = event("e", type="contact.created", user_id=ID, data={"contactId": "c", "deal_id": "d"})

    entry = entry_of(account, given, NOW, timedelta(days=2))

    assert (entry["actor"], entry["verb"], entry["subject"]) == (str(ID), "created", {"type": "contact", "id": "c"})
    assert (entry["event_id"], entry["at"], entry["expires_at"]) == ("e", NOW, NOW + timedelta(days=2))
    assert entry["_id"] == entry_of(account, given, NOW + timedelta(1), timedelta(days=9))["_id"]
    odd = entry_of(
        account, {"_id": "e", "type": 7, "data": [1], "occurred_at": "odd", "user_id": {}}, NOW, timedelta(1)
    )
    assert (odd["actor"], odd["verb"], odd["subject"]) == ("system", "7", {"type": "7", "id": None})


def test_units_are_accounts_or_events_and_bring_each_job_once() -> None:
    accounts = account_units(CONSUME, [ID, str(ID), "no id", None])
    assert [unit.id for unit in accounts] == [str(ID)]

    units = event_units(accounts, [{"_id": n, "account_id": ID} for n in range(2)] + [{"_id": 3}])
    assert [(unit.id, len(unit.jobs)) for unit in units] == [("0", 1), ("1", 0)]


@pytest.mark.covers("CL-01", "CL-03", "CL-04", "CL-05", "CL-X3")
def test_the_lanes_have_the_numbers_of_the_seed() -> None:
    lanes = (CRM_EVENTS, WORKFLOW_BRIDGE, ACTIVITY_LOG)
    assert [lane.name for lane in lanes] == ["crm-events", "crm-workflow-bridge", "crm-activity-log"]
    for lane in lanes:
        tuned = tune(lane, load(_env_file=None))
        assert (tuned.places, tuned.rate and (tuned.rate.jobs, tuned.rate.seconds), tuned.attempts) == (3, (5, 1.0), 4)
        assert [lane.backoff.delay(n, lambda: 0.0) for n in (1, 2, 3)] == [1, 5, 30]
        kept = lane.retention
        assert (kept.completed_age, kept.completed_rows) == (timedelta(hours=24), 1000)
        assert (kept.failed_age, kept.failed_rows) == (timedelta(days=7), 5000)
    faster = load(_env_file=None, queue_concurrency=10, queue_max_jobs_per_second=100)
    assert (tune(CRM_EVENTS, faster).places, tune(WEBHOOKS, faster)) == (10, WEBHOOKS)


def test_every_consumer_is_one_file_and_one_row() -> None:
    files = {file.stem for file in Path(reactions.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == {consumer.run.__module__.rpartition(".")[2] for consumer in CONSUMERS}
    assert {consumer.name for consumer in CONSUMERS} == files


def test_an_event_is_restricted_to_what_it_is_replayed_for() -> None:
    assert restricted_to({"only": {"workflows": ID}}, "workflows") == str(ID)
    assert restricted_to({"only": {"workflows": ID}}, "webhooks") is None
    assert restricted_to({"only": "odd"}, "webhooks") is None
