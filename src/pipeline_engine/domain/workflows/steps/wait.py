"""Waits for some time."""

from __future__ import annotations

from pipeline_engine.domain.workflows.step import Lasting, StepConfig, StepPassed, StepResult, StepRun, StepWaits


class Waiting(StepConfig):
    seconds: Lasting


async def perform(run: StepRun, config: Waiting) -> StepResult:
    deadline = run.deadline(config.seconds)
    return StepPassed() if deadline <= run.now else StepWaits(deadline, deadline)


async def rehearse(_run: StepRun, config: Waiting) -> str:
    return f"would wait {config.seconds:g} s"
