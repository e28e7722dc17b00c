"""Ends the run."""

from __future__ import annotations

from pipeline_engine.domain.workflows.step import RunOver, StepConfig, StepRun


class Ending(StepConfig):
    reason: str | None = None


async def perform(_run: StepRun, config: Ending) -> RunOver:
    return RunOver("completed", config.reason)


async def rehearse(_run: StepRun, _config: Ending) -> str:
    return "the run ends"
