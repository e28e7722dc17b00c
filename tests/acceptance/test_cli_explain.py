"""`explain` and `forecast` through the real door; the small cases stand in tests/integration."""

from __future__ import annotations

import json

from bson import ObjectId

from tests.support.command_line import InProcess, Subprocess
from tests.support.world import World


def test_a_deal_before_and_after_it_fired(engine: Subprocess, inside: InProcess, world: World) -> None:
    automation, deal = world.automation("add_tag", tag=ObjectId()), world.deal()
    words = ("explain", "automation", automation, "--deal", deal)

    before = engine(*words, "--json")
    foretold = inside("forecast", "automations", "--json")
    assert inside("run-once", "deals.automations").returncode == 0
    after = inside(*words, "--json")
    explained = inside(*words)

    assert (before.returncode, json.loads(before.stdout)["next"]["what"]) == (0, "fires")
    assert [(one["automation"], one["deal"]) for one in json.loads(foretold.stdout)["firings"]] == [
        (str(automation), str(deal))
    ]
    found = json.loads(after.stdout)
    assert all(set(one) >= {"name", "value", "passed"} for one in found["conditions"])
    assert (found["next"]["what"], found["history"][-1]["state"]) == ("never", "success")
    assert explained.returncode == 0
    assert explained.stdout.startswith("This automation will not fire for this deal: it has fired")
