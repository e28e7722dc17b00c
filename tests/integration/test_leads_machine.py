"""A state machine over all that can happen to leads: after every step runs are serial and nothing is early, and in the
end all have ended. Unlike the random walk, hypothesis shrinks what fails to the fewest steps."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipeline_engine import settings as engine_settings
from pipeline_engine.domain.leads import control, pause_control
from pipeline_engine.errors import Permanent
from tests.integration.test_leads_random import BROKEN, NOTE, REPLY, WAIT, check
from tests.support.engine_app import open_app
from tests.support.leads import Document, action, lead, put_actions, reply, stage, work
from tests.support.world import World

LEADS, STAGES = range(2), range(2)
MINUTES = st.sampled_from([1, 10, 30, 90])
REFUSALS = ("ended", "busy", "not_failed", "not_paused")
OPEN = ("entering", "active")
NOT_OF_SYSTEM = {"name": {"$not": {"$regex": "^system"}}}
"""A test before may have left the profiler's collection, which cannot be written to."""


class LeadMachine(RuleBasedStateMachine):
    environment: ClassVar[dict[str, str]]
    """The settings of the database, which every example empties."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = open_app(engine_settings.from_environment(self.environment))
        self.app = self.do(self.opened.__aenter__())
        self.world = World(self.environment)
        self.paused: set[int] = set()

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    @initialize()
    def a_pipeline(self) -> None:
        self.leads = [lead(self.world) for _ in LEADS]
        self.stages = [stage(self.world) for _ in STAGES]
        for id in self.stages:
            put_actions(self.world, id, NOTE, WAIT, REPLY, action("add_tag", tag="x"))

    @rule(lead=st.sampled_from(LEADS), stage=st.sampled_from(STAGES))
    def enter(self, lead: int, stage: int) -> None:
        """Also into the stage that it is in, which begins anew."""
        self.do(control.enter(self.app, self.leads[lead], self.stages[stage]))

    @rule(rounds=st.sampled_from([1, 2]))
    def act(self, rounds: int) -> None:
        self.do(work(self.app, self.world, rounds=rounds))

    @rule(lead=st.sampled_from(LEADS), auto=st.booleans())
    def reply(self, lead: int, auto: bool) -> None:
        reply(self.world, self.leads[lead], auto=auto, received_at=self.app.clock.now())

    @rule(minutes=MINUTES)
    def time_goes_by(self, minutes: int) -> None:
        """Over the ends of waits, and over time-outs."""
        self.app.clock.set(self.app.clock.now() + timedelta(minutes=minutes))

    @rule(lead=st.sampled_from(LEADS), minutes=MINUTES)
    def reply_when_time_is_over(self, lead: int, minutes: int) -> None:
        """The reply and the time-out are seen at one moment."""
        self.time_goes_by(minutes)
        self.reply(lead, auto=False)

    @rule(stage=st.sampled_from(STAGES), given=st.permutations([NOTE, WAIT, REPLY, BROKEN, action("add_tag", tag="y")]))
    def edit(self, stage: int, given: list[Document]) -> None:
        self.world.db["pipeline_stage_actions"].delete_many({"stage_id": self.stages[stage]})
        put_actions(self.world, self.stages[stage], *given[:3])

    @rule(lead=st.sampled_from(LEADS))
    def crash(self, lead: int) -> None:
        """A process dies that holds the lead's run."""
        query = {"lead_id": self.leads[lead], "status": {"$in": list(OPEN)}}
        if found := self.world.db["lead_stages"].find_one(query):
            self.world.abandon("lead_stages", found["_id"], token=int(found.get("token") or 0) + 1)

    @precondition(lambda self: len(self.paused) < len(STAGES))
    @rule(stage=st.sampled_from(STAGES), waits=st.sampled_from(["extend", "keep"]))
    def pause(self, stage: int, waits: Any) -> None:
        self.try_to(pause_control.pause(self.app, "stage", self.stages[stage], waits, None))
        self.paused.add(stage)

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        for paused in self.paused:
            self.try_to(pause_control.resume(self.app, "stage", self.stages[paused]))
        self.paused.clear()

    @rule(lead=st.sampled_from(LEADS), command=st.sampled_from([control.retry, control.skip, control.cancel]))
    def command(self, lead: int, command: Any) -> None:
        self.try_to(command(self.app, self.leads[lead]))

    def try_to(self, command: Coroutine[Any, Any, Any]) -> None:
        try:
            self.do(command)
        except Permanent as refused:
            if refused.code not in REFUSALS:
                raise

    @invariant()
    def runs_are_serial(self) -> None:
        check(self.world)

    def teardown(self) -> None:
        try:
            self.resume()
            self.all_come_to_an_end()
        finally:
            for name in self.world.db.list_collection_names(filter=NOT_OF_SYSTEM):
                self.world.db[name].delete_many({})
            self.world.close()
            self.do(self.opened.__aexit__(None, None, None))
            self.runner.close()

    def all_come_to_an_end(self) -> None:
        stages, is_open = self.world.db["lead_stages"], {"status": {"$in": list(OPEN)}}
        for _ in range(12):
            self.time_goes_by(120)
            self.act(2)
            check(self.world)
            if not stages.count_documents(is_open):
                break
        assert not list(stages.find({"$or": [is_open, {"lease_owner": {"$gt": ""}}]}))
        assert not self.world.db["lead_responses"].count_documents({"handled_at": None})


@pytest.mark.covers("LP-03", "LP-06", "LP-15", "LP-X2", "LP-X3", "LP-X4", "LP-X5")
@pytest.mark.parametrize(
    ("examples", "steps"), [(4, 12), pytest.param(40, 30, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_no_order_of_events_breaks_a_run(environment: dict[str, str], examples: int, steps: int) -> None:
    machine = type("Machine", (LeadMachine,), {"environment": environment})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks, database=None
        ),
    )
