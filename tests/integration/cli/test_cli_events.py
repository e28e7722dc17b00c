"""`events` and `explain event` through the real door."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.crm_events import START, contact, contact_of, created, event_of, insert
from tests.support.world import World


def done(world: World, id: object, *names: str, **fields: object) -> None:
    change = {"status": "done", "consumed": list(names), **fields}
    world.db["crm_events"].update_one({"_id": id}, {"$set": change})


@pytest.mark.covers("CL-07")
def test_an_event_is_published_listed_shown_and_consumed(engine: CommandLine, world: World) -> None:
    id = contact(world)
    words = ("events", "publish", "contact.created", "--account", world.account, "--id", "mine", "--user", world.user)

    ran = engine(*words, "--data", json.dumps({"contactId": str(id), "more": 1}))
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, "event mine is published")
    assert "No daemon runs" in ran.stdout
    assert engine(*words, "--data", json.dumps({"contactId": str(id)})).returncode == 0
    assert world.db["crm_events"].count_documents({}) == 1

    assert "contact.created" in engine("events").stdout
    assert "mine" not in engine("events", "list", "--status", "dead").stdout
    assert "mine" not in engine("events", "list", "--account", ObjectId()).stdout
    shown = engine("events", "show", "mine").stdout
    for part in ("contact.created", str(world.account), f"cont:{id}", '"more": 1'):
        assert part in shown

    assert engine("run-once", "events.outbox").returncode == 0
    assert contact_of(world, id)["lead_score"] == 24
    assert "consumed by" in engine("events", "show", "mine").stdout


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("publish", "contact.created", "--account", "a" * 24), 1, "data.contact_id"),
        (("publish", "contact.created", "--account", "a" * 24, "--data", "[]"), 2, "--data: it is no JSON object"),
        (("publish", "mine", "--account", "a" * 24, "--data", '{"a": NaN}'), 2, "--data: NaN is no number of JSON"),
        (("publish", "mine", "--account", "a" * 24, "--data", f'{{"a": {2**63}}}'), 1, "mine: MongoDB cannot store"),
        (("publish", "contact.created", "--account", "x"), 2, "--account"),
        (("show", "none"), 1, "there is no event none"),
        (("replay", "--to", "owner"), 2, "--to: owner is none of consumer:NAME, workflow:ID and webhook:ID"),
        (("replay", "--to", "consumer:"), 2, "--to: consumer: is none of"),
        (("replay", "--to", "workflows:x"), 2, "--to: workflows:x is none of"),
        (("replay", "--to", "consumer:x"), 1, "there is no consumer x; there are lead_score"),
        (("replay", "--to", "webhook:" + "a" * 24, "--dry-run"), 1, "there is no document"),
        (("replay", "--to", "consumer:owner", "--since", "soon"), 2, "--since"),
    ],
)
def test_what_makes_no_sense_is_named(engine: CommandLine, words: tuple[str, ...], code: int, reason: str) -> None:
    ran = engine("events", *words)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert reason in ran.stderr


@pytest.mark.covers("CL-13")
def test_past_events_are_counted_and_then_go_to_one_consumer(engine: CommandLine, world: World) -> None:
    old, new, fresh = contact(world), contact(world), contact(world)
    done(world, created(world, old, at=-3600), "lead_score")
    event = created(world, new)
    done(world, event, "lead_score")
    created(world, fresh)
    done(world, insert(world, "deal.won", {"deal_id": "d"}))
    since = (START - timedelta(minutes=1)).isoformat()
    words = ("events", "replay", "--type", "contact.created", "--since", since, "--to", "consumer:lead_score")

    dry = engine(*words, "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "1 events would go to consumer lead_score\n")
    assert "lead_score" not in contact_of(world, new)

    ran = engine(*words)
    assert (ran.returncode, ran.stdout) == (0, "1 events went to consumer lead_score\n")
    assert [contact_of(world, id).get("lead_score") for id in (old, new, fresh)] == [None, 24, None]
    assert world.db["activities"].count_documents({}) == 0
    assert event_of(world, event)["status"] == "done"


@pytest.mark.covers("CL-13")
def test_past_events_go_to_one_webhook(engine: CommandLine, world: World) -> None:
    id = ObjectId()
    world.db["webhooks"].insert_one({"_id": id, "account_id": world.account, "url": "https://x.example"})
    taken, waiting = created(world, contact(world)), created(world, contact(world))
    done(world, taken, onward=["activity"])
    done(world, waiting, onward=["webhooks"])
    other = world.neighbour()
    theirs = insert(other, "contact.created", {"contact_id": "x"}, status="done")

    ran = engine("events", "replay", "--to", f"webhook:{id}")

    assert (ran.returncode, ran.stdout) == (0, f"1 events go to webhook {id}\n")
    assert event_of(world, taken)["onward"] == ["activity", "webhooks"]
    assert event_of(world, taken)["only"] == {"webhooks": str(id)}
    assert event_of(world, waiting)["onward"] == ["webhooks"]
    assert "only" not in event_of(world, waiting)
    assert "onward" not in event_of(world, theirs)
    other.close()


@pytest.mark.covers("CL-13")
def test_without_a_target_past_events_go_to_all_consumers_of_their_type(engine: CommandLine, world: World) -> None:
    id = contact(world)
    event = created(world, id)
    done(world, event)
    words = ("events", "replay", "--type", "contact.created", "--since", START.isoformat(), "--account", world.account)
    consumers = ("lead_score", "owner", "welcome_email", "timeline")

    dry = engine(*words, "--dry-run")
    assert (dry.returncode, sorted(dry.stdout.splitlines())) == (
        0,
        sorted(f"1 events would go to consumer {name}" for name in consumers),
    )
    assert "lead_score" not in contact_of(world, id)

    ran = engine(*words)
    assert (ran.returncode, ran.stdout.count("1 events went to consumer")) == (0, 4)
    assert contact_of(world, id)["lead_score"] == 24
    assert world.db["activities"].count_documents({"contact_id": id}) == 1
    assert "onward" not in event_of(world, event)


def test_what_fails_in_a_replay_is_named(engine: CommandLine, world: World) -> None:
    id = contact(world)
    world.demand("contacts", {"lead_score": {"$exists": False}})
    event = created(world, id)
    done(world, event)

    ran = engine("events", "replay", "--to", "consumer:lead_score")

    assert (ran.returncode, ran.stderr) == (1, "1 of them failed there\n")
    assert str(event) in ran.stdout


@pytest.mark.covers("CL-03", "CL-09")
def test_explain_says_what_an_event_waits_for_and_who_has_had_it(engine: CommandLine, world: World) -> None:
    one = contact(world)
    first = insert(world, "form.submitted", {"contact_id": one}, at=0)
    later = datetime.now(UTC) + timedelta(hours=1)
    failed = {"attempt": 2, "at": START, "error": "welcome_email: the mail server refuses"}
    change = {"attempts": 2, "next_at": later, "failing_key": f"cont:{one}", "errors": [failed], "consumed": ["intent"]}
    world.db["crm_events"].update_one({"_id": first}, {"$set": change})
    behind = created(world, one, at=5, cause={"event_id": first, "depth": 1})

    shown = engine("explain", "event", first).stdout
    for part in ("will be tried again", "attempt 3 of 4", "the mail server refuses", "intent", "timeline"):
        assert part in shown, shown
    waits = engine("explain", "event", behind).stdout
    assert f"for event {first}, which came before it under the same key" in waits
    assert f"{first} (form.submitted)" in waits

    found = json.loads(engine("explain", "event", behind, "--json").stdout)
    assert (found["next"]["what"], found["key"], found["causes"]) == (
        "waits",
        f"cont:{one}",
        [f"{first} (form.submitted)"],
    )
    done(world, behind, "lead_score", "owner", "welcome_email", "timeline", onward=["webhooks"])
    ended = engine("explain", "event", behind).stdout
    assert "This event has ended: every consumer has had it." in ended
    assert engine("explain", "event", "none").returncode == 1
