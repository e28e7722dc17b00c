"""Mails of sequences against the same number of mails of automations, in turn."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from bson import ObjectId

from bench.program import create_indexes, environment, run_once
from bench.row import Row
from tests.support.world import World

MANY = 4000
ROUNDS = 3
HTML = "<p>Hi {{ contact.name }}</p>"

Document = dict[str, Any]


def run(servers: Mapping[str, str]) -> list[Row]:
    rounds = [
        (_sequence(environment(servers, f"bench_sequence{n}")), _automation(environment(servers, f"bench_mail{n}")))
        for n in range(ROUNDS)
    ]
    ours, theirs = median(one for one, _ in rounds), median(other for _, other in rounds)
    ratios = sorted(one / other for one, other in rounds)
    return [
        Row(
            f"{MANY:,} first mails of a sequence, sweep to last enrolment",
            f"{ours:,.0f} mails/s",
            f"{theirs:,.0f} mails/s: the same number from an automation",
            f"{ours / theirs:.2f}",
            "≥ 0.5",
            f"ratios of {ROUNDS} rounds: {', '.join(f'{one:.2f}' for one in ratios)}; "
            "each mail also becomes a row of the timeline",
        )
    ]


def _sequence(settings: Mapping[str, str]) -> float:
    """Mails per second."""
    world = World(settings)
    create_indexes(settings)
    now, own = datetime.now(UTC), {"account_id": world.account}
    steps = [{"email_template_id": _template(world)}, {"delay_seconds": 3600, "email_template_id": _template(world)}]
    sequence = world.db["sequences"].insert_one({**own, "active": True, "steps": steps}).inserted_id
    ids = [ObjectId() for _ in range(MANY)]
    people = [{"_id": id, **own, "name": "Ada", "email": f"{id}@example.com"} for id in ids]
    world.db["contacts"].insert_many(people)
    begun = {"sequence_id": sequence, "status": "active", "step": 0, "next_at": now - timedelta(seconds=1)}
    world.db["workflow_enrollments"].insert_many([{**own, **begun, "contact_id": id} for id in ids])
    seconds = run_once(settings, sweep="crm.sequence_email").seconds
    assert world.db["workflow_enrollments"].count_documents({"step": 1}) == MANY
    world.close()
    return MANY / seconds


def _automation(settings: Mapping[str, str]) -> float:
    """Mails per second."""
    world = World(settings)
    create_indexes(settings)
    deal = world.db["deals"].find_one_and_delete({"_id": world.deal()}) or {}
    deals = [{**deal, "_id": ObjectId(), "contact_email": f"{n}@example.com"} for n in range(MANY)]
    world.db["deals"].insert_many(deals)
    world.automation("email", email_template_id=_template(world))
    seconds = run_once(settings, sweep="deals.automations").seconds
    world.close()
    return MANY / seconds


def _template(world: World) -> ObjectId:
    found = {"account_id": world.account, "subject": "Hello", "html": HTML}
    return ObjectId(world.db["email_templates"].insert_one(found).inserted_id)
