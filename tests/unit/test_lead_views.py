"""What `leads` and `explain lead` make of documents: figures, rows and the history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.cli import lead_views
from pipeline_engine.domain.leads.conditions import Surroundings, of_entering, of_exits, of_lead, of_pauses
from pipeline_engine.domain.leads.control import LeadRun, opened_fields
from pipeline_engine.domain.leads.explain import history_of
from pipeline_engine.domain.leads.migration import Place
from pipeline_engine.domain.leads.schedule import Position
from pipeline_engine.domain.leads.sla import Delays
from pipeline_engine.domain.leads.start_delays import bin_of, counts_of, edges_with

NOW = datetime(2026, 1, 12, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ID = ObjectId()


def around(**changes: Any) -> Surroundings:
    plain: dict[str, Any] = {"lead": {"_id": ID}, "stage": {}, "pipeline": {}, "account": {}, "account_active": True}
    return Surroundings(**{**plain, "active_leads": 0, "max_active": 10, **changes})


def test_the_aim_is_one_of_the_edges() -> None:
    assert edges_with(120) == [1, 5, 30, 120, 600]
    assert edges_with(5) == [1, 5, 30, 600]


def test_shares_and_late_actions_are_read_from_the_bins() -> None:
    delays = Delays(ID, "email", edges_with(120), [90, 0, 5, 3, 1, 1], 900.0)
    assert (delays.total, delays.later_than(120)) == (100, 2)
    assert (delays.within(0.5), delays.within(0.95), delays.within(0.99), delays.within(1)) == (1, 30, 600, None)
    assert lead_views.sla_row(delays)[-3:] == ("1 s", "600 s", "900.0 s")
    assert len(lead_views.sla_row(delays)) == len(lead_views.sla_columns(delays.edges))


def test_a_delay_counts_in_the_bin_that_ends_at_or_above_it() -> None:
    edges = edges_with(120)
    assert [bin_of(seconds, edges) for seconds in (0, 1, 1.001, 120, 600.5)] == [
        "1000",
        "1000",
        "5000",
        "120000",
        "later",
    ]
    assert counts_of({"1000": 3, "120000": 2, "later": 1}, edges) == [3, 0, 0, 2, 0, 1]
    # Counted while the aim was a minute: whether they were within two is not known, so they do not count as earlier.
    assert counts_of({"60000": 4}, edges) == [0, 0, 0, 4, 0, 0]


def test_of_several_entries_the_one_under_way_counts_and_else_the_newest() -> None:
    left, active, done = ({"_id": n, "status": status} for n, status in enumerate(("left", "active", "completed")))
    assert LeadRun({}, [done, active, left]).current is active
    assert LeadRun({}, [done, left]).current is done
    assert LeadRun({}, []).current is None


def test_a_place_says_where_its_leads_go_on() -> None:
    target = {"sequence_number": 30, "type": "sms"}
    assert lead_views.place_row(Place(20, "wait", 5, target, stays=False)) == (5, "20 wait", "30 sms", "it begins now")
    assert lead_views.place_row(Place(30, "sms", 5, target, stays=True))[-1] == "as before"
    assert lead_views.place_row(Place(40, "note", 5, None, stays=False))[-1] == "their run is completed"


def test_a_long_configuration_is_shown_by_its_beginning() -> None:
    row = {"sequence_number": 1, "type": "note", "config": {"note": "x" * 1000}, "status": "done"}
    assert len(str(lead_views.action_row(row)[2])) < 70
    assert lead_views.action_row({**row, "config": None})[2] == ""


def test_a_run_that_goes_on_again_counts_from_now() -> None:
    wait = opened_fields(Position(10, "wait", NOW + MINUTE), NOW)
    assert (wait["status"], wait["opened_at"], wait["started_at"], wait["reason"]) == ("active", NOW, None, None)
    assert "response_since" not in wait
    reply = opened_fields(Position(20, "wait_for_response", NOW + MINUTE, "waiting_response"), NOW)
    assert reply["response_since"] == NOW


def test_the_history_is_in_the_order_of_time_and_flags_doubts() -> None:
    entry = {"entered_at": NOW, "left_at": NOW + 5 * MINUTE, "status": "left", "reason": "moved", "stage_id": ID}
    row = {"sequence_number": 10, "type": "email", "status": "failed", "last_error": "550"}
    steps = [{"at": NOW + MINUTE, "state": "sending"}, {"at": NOW + 2 * MINUTE, "state": "unknown"}]
    effect = {"channel": "email", "history": steps, "ambiguous": True}
    replies: list[dict[str, Any]] = [
        {"channel": "sms", "received_at": NOW + 4 * MINUTE},
        {"channel": "sms", "received_at": "soon"},
    ]
    found = history_of([entry], [{**row, "performed_at": NOW + 3 * MINUTE}, row], [effect], replies)

    assert [(one.source, one.state) for one in found] == [
        ("entry", "entered"),
        ("effect", "sending"),
        ("effect", "unknown"),
        ("action", "failed"),
        ("reply", "reply"),
        ("entry", "left"),
    ]
    assert [one.detail for one in found][1:4] == ["email", "email, may have gone out twice", "10 email: 550"]


def test_a_lead_without_an_entry_or_with_an_ended_one_does_not_go_on() -> None:
    never = of_lead(None, around())
    assert [one.passed for one in never] == [True, False]
    ended = of_lead({"status": "failed", "reason": "550"}, around(lead={"status": "lost"}, account_active=False))
    assert [one.passed for one in ended] == [False, False, False]
    assert ended[1].otherwise
    assert ended[1].otherwise.why.endswith("goes on: 550")


def test_each_pause_holds_the_lead_up_until_its_end() -> None:
    paused = {"automation_paused": {"since": NOW - MINUTE, "until": NOW + MINUTE}}
    over = {"automation_paused": {"since": NOW - MINUTE, "until": NOW}}
    stage, pipeline, account = of_pauses(around(stage=over, pipeline=paused, account=None), NOW)
    assert (stage.passed, pipeline.passed, account.passed) == (True, False, True)
    assert pipeline.otherwise
    assert pipeline.otherwise.at == NOW + MINUTE


def test_a_lead_waits_for_a_place_while_all_are_taken() -> None:
    assert of_entering(around(active_leads=9), 3)[0].passed is True
    (full,) = of_entering(around(active_leads=10), 3)
    assert (full.passed, full.value) == (False, "10 of 10 leads, 3 wait ahead")


def test_exits_are_those_of_the_stage() -> None:
    assert (
        of_exits({"exits": dict.fromkeys(("unsubscribed", "bounced", "won", "meeting"), False)})[0].value == "nothing"
    )
    assert "reply" not in str(of_exits(None)[0].value)
